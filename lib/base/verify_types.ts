/** How a verify is asked for: one that compares, and one that takes the content of a slave. */
import type { ControlOption } from './control';
import type { DeviceOption, Extent, PresenceOptions, ProgressListener, Size } from './types';

/** How a verify is made. */
export interface VerifyChoice {
  /** Slaves that are out are read and compared too, where their devices can be opened; nothing of them is changed. */
  all?: boolean;
  /**
   * What differs is copied from the master; default false. It is owed first, as what a slave missed: until it is paid the slave
   * is `synchronizing`, and does not count for minInSync.
   */
  repair?: boolean;
  /** Most bytes a second of the mirror that are compared: a number, or text such as '100MiB'. Default: as fast as it goes. */
  rate?: Size;
  /** Byte of the mirror to begin at: where an earlier verify was stopped (Progress.position). Rounded down to 1 MiB; default 0. */
  position?: number;
}

/** Of one extent what a slave holds is taken for the content of the mirror: the master is the one that is wrong there. */
export interface VerifyFromChoice {
  /** Name of the slave. It receives every write, and owes nothing of the extent. */
  from: string;
  /** Whole blocks of the mirror (status().blockSize). */
  extent: Extent;
  /** What the master, and every other image, holds in the extent may go. Without it nothing is done. */
  overwriteMaster: boolean;
}

export interface VerifyFromOptions extends DeviceOption, PresenceOptions, ControlOption, VerifyFromChoice {
  /** As in OpenOptions. */
  takeOver?: boolean;
  /** As in CreateOptions. */
  trustFolders?: boolean;
  images?: Readonly<Record<string, string>>;
  onProgress?: ProgressListener;
  signal?: AbortSignal;
}

export interface VerifyOptions extends DeviceOption, PresenceOptions, ControlOption, VerifyChoice {
  /** As in OpenOptions. */
  takeOver?: boolean;
  /** As in CreateOptions. */
  trustFolders?: boolean;
  images?: Readonly<Record<string, string>>;
  onProgress?: ProgressListener;
  signal?: AbortSignal;
}
