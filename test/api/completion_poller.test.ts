// Polling as a state machine of its own: an engine that is only asked, the real event loop.
import { setImmediate as nextTurn } from 'node:timers/promises';
import { CompletionPoller } from '../../lib/io/completion_poller';

class AskedEngine {
  pending = 0;
  asked: boolean[] = [];
  /** Nanoseconds that each offer of the processor takes. */
  offer = 0;
  poll(more: boolean): number {
    this.asked.push(more);
    return more ? this.offer : 0;
  }
}

async function turnsUntil(done: () => boolean): Promise<void> {
  const end = performance.now() + 5000;
  while (!done() && performance.now() < end) await nextTurn();
  expect(done()).toBe(true);
}

const ended = (engine: AskedEngine) => () => engine.asked.at(-1) === false;

test('it asks from turn to turn while something is pending, and says when it was the last time', async () => {
  const engine = new AskedEngine();
  const poller = new CompletionPoller(engine);
  engine.pending = 1;
  engine.poll = (more) => {
    engine.asked.push(more);
    if (engine.asked.length < 3) poller.delivered(); // however slow the machine, its window stays open
    return 0;
  };
  poller.submitted();
  expect(engine.asked).toEqual([]); // a turn of its own, never inside the submission
  await turnsUntil(() => engine.asked.length >= 3);
  expect(engine.asked.slice(0, 3)).toEqual([true, true, true]);
  engine.pending = 0;
  await turnsUntil(ended(engine));
  expect(engine.asked.filter((more) => !more)).toHaveLength(1);
});

test('it gives up when nothing comes, and then leaves ever more requests to the wake-up', async () => {
  const engine = new AskedEngine();
  const poller = new CompletionPoller(engine);
  engine.pending = 1;
  const polled = async (): Promise<boolean> => {
    engine.asked = [];
    poller.submitted();
    await nextTurn();
    await nextTurn();
    if (engine.asked.length === 0) return false;
    await turnsUntil(ended(engine));
    return true;
  };
  const outcomes: boolean[] = [];
  for (let request = 0; request < 6; request++) outcomes.push(await polled());
  expect(outcomes).toEqual([true, false, true, false, false, false]);
});

test('a completion in the window keeps it going, and makes the next request polled again', async () => {
  const engine = new AskedEngine();
  const poller = new CompletionPoller(engine);
  engine.pending = 1;
  poller.submitted();
  poller.delivered();
  await turnsUntil(() => engine.asked.length > 0);
  engine.pending = 0;
  await turnsUntil(ended(engine));
  engine.asked = [];
  engine.pending = 1;
  poller.submitted();
  await turnsUntil(() => engine.asked.length > 0);
  engine.pending = 0;
  await turnsUntil(ended(engine));
});

test('many pending requests are left to the wake-up that they share', async () => {
  const engine = new AskedEngine();
  const poller = new CompletionPoller(engine);
  engine.pending = 9;
  poller.submitted();
  await nextTurn();
  await nextTurn();
  expect(engine.asked).toEqual([]);
});

/** How many requests are left to the wake-up before one is polled again. */
async function leftToWakeUp(engine: AskedEngine, poller: CompletionPoller): Promise<number> {
  for (let left = 0; left < 1000; left++) {
    engine.asked = [];
    poller.submitted();
    await nextTurn();
    if (engine.asked.length > 0) return left;
  }
  return 1000;
}

test('one long offer of the processor that brought nothing leaves the next 256 requests to the wake-up', async () => {
  const engine = new AskedEngine();
  const poller = new CompletionPoller(engine);
  engine.pending = 1;
  engine.offer = 50_001;
  poller.submitted();
  await turnsUntil(ended(engine));
  expect(engine.asked).toEqual([true, false]);
  expect(await leftToWakeUp(engine, poller)).toBe(256);
});

test.each([
  [500_000, 0],
  [500_001, 256],
])('an offer of %i ns that brought a completion leaves %i requests to the wake-up', async (offer, left) => {
  const engine = new AskedEngine();
  const poller = new CompletionPoller(engine);
  engine.pending = 1;
  engine.offer = offer;
  engine.poll = (more) => {
    engine.asked.push(more);
    if (more) {
      poller.delivered();
      engine.pending = 0;
    }
    return more ? engine.offer : 0;
  };
  poller.submitted();
  await turnsUntil(ended(engine));
  engine.pending = 1;
  expect(await leftToWakeUp(engine, poller)).toBe(left);
});
