/**
 * What can be asked of a mirror that is open: of one's own (Mirror), and of one that another process holds (MirrorClient, by its
 * control socket). Types only; no code.
 */
import type { HistoryChoice, HistoryReport } from './history';
import type { LongWorkOptions } from './mirror_events';
import type {
  FractureReport,
  RecoveryReport,
  ResyncReport,
  SetReport,
  VerifyFromReport,
  VerifyReport,
} from './reports';
import type {
  FractureChoice,
  MetricsOptions,
  MirrorSetOptions,
  Problem,
  Repair,
  ResyncChoice,
  ResyncEvent,
  StalledEvent,
  StateEvent,
  Status,
  VerifyChoice,
  VerifyFromChoice,
} from './types';

/** Mirror and MirrorClient have all of it; whoever goes by it awaits what each answers. */
export interface MirrorControl {
  status(): Status | Promise<Status>;
  fracture(images: readonly string[], options?: FractureChoice): Promise<FractureReport>;
  /** @param images names of slaves; default: all that are not in sync */
  resync(images?: readonly string[] | null, options?: ResyncChoice): Promise<ResyncReport>;
  pauseResync(): Promise<void>;
  resumeResync(): Promise<void>;
  /** What a slave holds in one extent becomes the content of the mirror. */
  verify(options: LongWorkOptions & VerifyFromChoice): Promise<VerifyFromReport>;
  verify(options?: LongWorkOptions & VerifyChoice): Promise<VerifyReport>;
  /** Durable when it resolves; what is not named stays. */
  set(options: MirrorSetOptions): Promise<SetReport>;
  /** For monitoring: docs/METRICS.md. */
  metrics(options?: MetricsOptions): Promise<string>;
  /** All that happened until now. */
  history(options?: HistoryChoice): Promise<HistoryReport>;
  recover(options?: LongWorkOptions & { compare?: boolean; readBack?: boolean }): Promise<RecoveryReport>;
}

/** Of an opening. */
export interface ControlOption {
  /**
   * Offer a control socket, by which the same user, or root, operates the mirror while it is open (docs/API.md); default false.
   * A mirror opens without it too: `status().control` says where it is, or why there is none.
   */
  control?: boolean;
}

/** The control socket of a mirror that was opened with `control: true`. */
export interface ControlStatus {
  /** Its path; null: there is none, as `problem` says. */
  socket: string | null;
  problem: Problem | null;
}

/** What a control socket tells of its mirror, in the order in which it happened; first the status as it is. */
export type ControlEvent =
  | { event: 'status'; at: string; data: Status }
  | { event: 'state'; at: string; data: StateEvent }
  | { event: 'repaired'; at: string; data: Repair }
  | { event: 'resync'; at: string; data: ResyncEvent }
  | { event: 'stalled'; at: string; data: StalledEvent }
  | { event: 'degraded'; at: string; data: Status }
  /** The mirror is being closed: the last. */
  | { event: 'closed'; at: string; data: null };

export interface ConnectOptions {
  /** As in CreateOptions. */
  trustFolders?: boolean;
  /** Heeded until the mirror has answered. */
  signal?: AbortSignal;
}
