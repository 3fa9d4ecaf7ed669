/**
 * What the library says, in the spelling of the command line: flags where it names options of the API. Pure.
 *
 * Commands between backticks, and words that are part of a path, are left as they are.
 */

/** Options of the API that have a flag of their own. */
const FLAGS: Readonly<Record<string, string>> = {
  keepData: '--keep-data',
  overwriteSignature: '--overwrite-signature',
  overwriteMaster: '--overwrite-master',
  assumeIdentical: '--assume-identical',
  takeOver: '--take-over',
  trustFolders: '--trust-folders',
  acceptStale: '--accept-stale',
  dryRun: '--dry-run',
};

/** Where a sentence has to be put another way, the first match of each; `size` and `images` are common words too. */
const PHRASES: readonly (readonly [RegExp, string])[] = [
  [/\bby the option images \((--image [^)]*)\)/g, 'by $1'],
  [/\bimages names '/g, "--image names '"],
  [/\bdevice: 'auto' or 'threads' \((--device threads)\)/g, '$1'],
  [/\b([Gg]ive) size\b/g, '$1 --size'],
  [/(?<=: )size is (?=\d)/g, '--size is '],
  [/(?<=: )options\.since is /g, '--since is '],
  [/(?<=: )image is (?=")/g, '--image is '],
  [/\bSee docs\/API\.md for the options\b/g, 'See `--help` after the command'],
];

/** 'keepData (--keep-data)', "acceptStale: 'b' (`--accept-stale b`)": both are named. */
const BOTH = new RegExp(`\\b(?:${Object.keys(FLAGS).join('|')})(?:: '[^']*')? \\((\`--[^\`]*\`|--[a-z-]+)\\)`, 'g');

const OPTION = new RegExp(`(?<![\\w./'"=-])(?:${Object.keys(FLAGS).join('|')})(?:: true)?(?![\\w/'"=-]|\\.\\w)`, 'g');

export function inFlags(text: string): string {
  // Odd parts are between backticks.
  const parts = text.replace(BOTH, '$1').split(/(`[^`]*`)/);
  return parts.map((part, index) => (index % 2 === 1 ? part : spell(part))).join('');
}

function spell(text: string): string {
  const phrased = PHRASES.reduce((spelled, [phrase, flag]) => spelled.replace(phrase, flag), text);
  return phrased.replace(OPTION, (name) => FLAGS[name.replace(/: true$/, '')] ?? name);
}
