/**
 * What a control socket can be asked, as one table: the server runs it, the client takes method and path from it, and a test
 * holds docs/API.md to it. A new verb is a row.
 */
import type { ControlEvent, MirrorControl } from '../base/control';
import type { LongWorkOptions, MirrorEvents } from '../base/mirror_events';
import { invalidOption } from '../base/option_reader';
import type { ResyncChoice, VerifyChoice, VerifyFromChoice } from '../base/types';
import { SETTING_KEYS } from '../base/policies';
import { METRICS_CONTENT_TYPES, metricsFormatOf } from '../metrics/format';

/** A mirror that is open in this process. */
export interface ControlledMirror extends MirrorControl {
  on<Name extends keyof MirrorEvents>(name: Name, listener: (...args: MirrorEvents[Name]) => void): unknown;
  off<Name extends keyof MirrorEvents>(name: Name, listener: (...args: MirrorEvents[Name]) => void): unknown;
}

/** Options as a client sent them: names that the route knows, and values that nobody has looked at. */
export type Options = Readonly<Record<string, unknown>>;

export type Answer =
  /** One document. */
  | 'document'
  /** Text as it is. */
  | 'text'
  /** A line for each event, until either side closes. */
  | 'events'
  /** Lines: that it began, its progress, that it lives; then its report, or the error with which it ended. */
  | 'work';

export interface Text {
  text: string;
  type: string;
}

/** What comes with a request besides its options. */
export interface Asked extends LongWorkOptions {
  /** The header of that name. */
  accept?: string | undefined;
}

export interface Route {
  method: 'GET' | 'POST';
  path: string;
  /** Members of the body, which is a JSON object; checked by name here, and by value where the API checks its own. */
  options: readonly string[];
  answer: Answer;
  /** Of work: what becomes of it when the client that began it is gone without having asked it to stop. */
  alone: 'goes on' | 'stops' | null;
  meaning: string;
  call: (mirror: ControlledMirror, options: Options, asked: Asked) => unknown;
}

const document = { answer: 'document', alone: null } as const;

/**
 * Work on the state of the mirror goes on without its client, as it would on the mirror's own account; a verify that compares,
 * which is a question, stops when nobody is left to be told.
 */
export const ROUTES = {
  status: {
    ...document,
    method: 'GET',
    path: '/v1/status',
    options: [],
    meaning: 'mirror.status()',
    call: (mirror) => mirror.status(),
  },
  events: {
    method: 'GET',
    path: '/v1/events',
    options: [],
    answer: 'events',
    alone: null,
    meaning: 'the status, then the events of the mirror as they come',
    call: () => undefined,
  },
  fracture: {
    method: 'POST',
    path: '/v1/fracture',
    options: ['images', 'detach'],
    answer: 'work',
    alone: 'goes on',
    meaning: 'mirror.fracture(images, { detach })',
    call: (mirror, { images, ...how }) => mirror.fracture(images as string[], how),
  },
  resync: {
    method: 'POST',
    path: '/v1/resync',
    options: ['images', 'rate', 'full', 'compare'],
    answer: 'work',
    alone: 'goes on',
    meaning: 'mirror.resync(images, { rate, full, compare })',
    call: (mirror, { images, ...how }, work) =>
      mirror.resync(images as string[], { ...(how as ResyncChoice), ...own(work) }),
  },
  pauseResync: {
    ...document,
    method: 'POST',
    path: '/v1/resync/pause',
    options: [],
    meaning: 'mirror.pauseResync()',
    call: (mirror) => mirror.pauseResync(),
  },
  resumeResync: {
    ...document,
    method: 'POST',
    path: '/v1/resync/resume',
    options: [],
    meaning: 'mirror.resumeResync()',
    call: (mirror) => mirror.resumeResync(),
  },
  verify: {
    method: 'POST',
    path: '/v1/verify',
    options: ['all', 'repair', 'rate', 'position'],
    answer: 'work',
    alone: 'stops',
    meaning: 'mirror.verify({ all, repair, rate, position })',
    call: (mirror, how, work) => mirror.verify({ ...(how as VerifyChoice), ...own(work) }),
  },
  verifyFrom: {
    method: 'POST',
    path: '/v1/verify/from',
    options: ['from', 'extent', 'overwriteMaster'],
    answer: 'work',
    // It writes: half of an extent helps nobody.
    alone: 'goes on',
    meaning: 'mirror.verify({ from, extent, overwriteMaster })',
    // Without from it would be a verify of everything.
    call: (mirror, { from = null, extent = null, ...how }, work) =>
      mirror.verify({ ...how, from, extent, ...own(work) } as LongWorkOptions & VerifyFromChoice),
  },
  set: {
    method: 'POST',
    path: '/v1/set',
    options: SETTING_KEYS,
    answer: 'work',
    alone: 'goes on',
    meaning: 'mirror.set(the same); JSON knows no Infinity: null stands for it',
    call: (mirror, settings) => mirror.set(withoutNull(settings)),
  },
  metrics: {
    method: 'GET',
    path: '/v1/metrics',
    options: [],
    answer: 'text',
    alone: null,
    meaning: 'mirror.metrics(), in the format that the header Accept asks for',
    call: async (mirror, _options, { accept }): Promise<Text> => {
      const format = metricsFormatOf(accept);
      return { text: await mirror.metrics({ format }), type: METRICS_CONTENT_TYPES[format] };
    },
  },
  history: {
    ...document,
    method: 'POST',
    path: '/v1/history',
    options: ['image', 'since'],
    meaning: 'mirror.history({ image, since })',
    call: (mirror, how) => mirror.history(how),
  },
  recover: {
    method: 'POST',
    path: '/v1/recover',
    options: ['compare', 'readBack'],
    answer: 'work',
    alone: 'goes on',
    meaning: 'mirror.recover({ compare, readBack })',
    call: (mirror, how, work) => mirror.recover({ ...how, ...own(work) }),
  },
} as const satisfies Record<string, Route>;

export type RouteName = keyof typeof ROUTES;

/** Those that the server answers itself: they are of the socket, not of the mirror. */
export const HELLO = { method: 'GET', path: '/v1/', options: [], meaning: 'whose socket this is' } as const;
export const STOP = {
  method: 'POST',
  path: '/v1/stop',
  options: ['id'],
  meaning: 'stop the work of that number, which its first line told, between two steps',
} as const;

function withoutNull(settings: Options): Options {
  return Object.fromEntries(Object.entries(settings).map(([key, value]) => [key, value === null ? Infinity : value]));
}

/** Without what is undefined: an option that is given is looked at. */
function own({ onProgress, signal }: LongWorkOptions): {
  onProgress?: NonNullable<LongWorkOptions['onProgress']>;
  signal?: AbortSignal;
} {
  return { ...(onProgress === undefined ? {} : { onProgress }), ...(signal === undefined ? {} : { signal }) };
}

/** @throws INVALID_OPTION where nothing answers at that path, or not by that method */
export function routeOf(method: string, path: string): Route {
  const there = Object.values<Route>(ROUTES).filter((route) => route.path === path);
  const route = there.find((candidate) => candidate.method === method);
  if (route !== undefined) return route;
  const first = there[0];
  const detail = first === undefined ? `nothing answers at that path` : `that path takes ${first.method}`;
  throw invalidOption(
    detail,
    `The paths are ${[HELLO, STOP, ...Object.values<Route>(ROUTES)].map((one) => one.path).join(', ')}`,
  );
}

export const EVENT_NAMES = [
  'state',
  'repaired',
  'resync',
  'stalled',
  'degraded',
] as const satisfies readonly (keyof MirrorEvents & ControlEvent['event'])[];
