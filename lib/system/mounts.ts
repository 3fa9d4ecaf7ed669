/** /proc/self/mountinfo: what is mounted where. Pure parser. */

export interface Mount {
  /** 'major:minor'; of an anonymous device (btrfs, overlay) it names no block device, `source` does. */
  device: string;
  mountPoint: string;
  fileSystem: string;
  source: string;
}

export function parseMountInfo(text: string): Mount[] {
  const mounts: Mount[] = [];
  for (const line of text.split('\n')) {
    const fields = line.split(' ');
    const separator = fields.indexOf('-', 6);
    if (separator < 0) continue;
    mounts.push({
      device: fields[2] ?? '',
      mountPoint: unescapeOctal(fields[4] ?? ''),
      fileSystem: fields[separator + 1] ?? '',
      source: unescapeOctal(fields[separator + 2] ?? ''),
    });
  }
  return mounts;
}

/** The kernel writes blank, tab, newline and backslash as three octal digits. */
export function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) => String.fromCharCode(parseInt(digits, 8)));
}
