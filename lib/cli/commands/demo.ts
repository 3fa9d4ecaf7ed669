/** `blockmirror demo`: a mirror killed in the middle of writing, and repaired, before one's eyes. No root, no device. */
import type { CreateReport } from '../../index';
import { makeDemoFolder } from '../demo/folder';
import { createDemoMirror, demoFiles, isRight, playRounds, type DemoPlan, type Round } from '../demo/rounds';
import { Story } from '../demo/story';
import { EXIT } from '../exit_codes';
import { UsageError } from '../failure';
import { interruptible } from '../interrupt';
import type { Outcome, Output } from '../output';
import type { DeviceChoice } from './shared';

interface DemoArguments extends DeviceChoice {
  size: number;
  keep?: boolean;
}

export const DEMO_DEFAULT_SIZE = 256 * 1024 * 1024;
const MINIMUM_SIZE = 8 * 1024 * 1024;
/** Of each image. */
const LABEL_AREA = 1024 * 1024;
/** The log, and what a file system needs to keep account of it all. */
const ROOM_BESIDES_IMAGES = 64 * 1024 * 1024;
const STOPPED = 'The load is killed and the files are removed.';

/** The JSON of `blockmirror demo --json`. */
interface DemoDocument {
  /** All images equal, every acknowledged write there, every difference inside what the log named. */
  passed: boolean;
  folder: string;
  kept: boolean;
  size: number;
  created: CreateReport;
  kills: (Omit<Round, 'extents' | 'load'> & { writesAcknowledged: number; loadMs: number })[];
}

export async function demoCommand(output: Output, options: DemoArguments): Promise<Outcome> {
  const imageSize = options.size;
  if (imageSize < MINIMUM_SIZE) throw new UsageError('The images are too small for a demo', 'Give --size 8MiB or more');
  const folder = await makeDemoFolder(2 * imageSize + ROOM_BESIDES_IMAGES);
  const keep = options.keep === true;
  let finished = false;
  try {
    const outcome = await interruptible(STOPPED, output, (signal) =>
      play(
        output,
        {
          folder: folder.path,
          size: imageSize - LABEL_AREA,
          device: options.device,
          signal,
          onProgress: output.progress.listener,
        },
        folder.note,
        keep,
      ),
    );
    finished = true;
    return outcome;
  } finally {
    folder.release(keep && finished);
  }
}

async function play(output: Output, plan: DemoPlan, note: string | null, keep: boolean): Promise<Outcome> {
  const story = new Story(output);
  story.begin(plan.folder, plan.size + LABEL_AREA, note);
  const created = await createDemoMirror(plan);
  story.created(created);
  const rounds = await playRounds(plan, created.size, story);
  const passed = rounds.every(isRight);
  const document: DemoDocument = {
    passed,
    folder: plan.folder,
    kept: keep,
    size: created.size,
    created,
    kills: rounds.map(({ extents: _, load, ...round }) => ({
      writesAcknowledged: load.writes,
      loadMs: load.durationMs,
      ...round,
    })),
  };
  const text = story.end(rounds, demoFiles(plan.folder), keep);
  if (output.json) output.narrate(text);
  return { exitCode: passed ? EXIT.done : EXIT.failed, document, text };
}
