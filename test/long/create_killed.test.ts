import { type Start, killCreate } from '../support/create_kills';
import { useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();
const STARTS: Start[] = ['nothing there', 'a master with data', 'a mirror to be replaced'];
const MOMENTS = 60;

describe.each(STARTS)('create, with %s', (start) => {
  test('killed at every step of its progress', async () => {
    let event = 1;
    while ((await killCreate(start, folder(), { event })).killed) event += 1;
    expect(event).toBeGreaterThan(6);
  }, 600_000);

  test(`killed at ${MOMENTS} moments, from its first look to its end`, async () => {
    let killed = 0;
    for (let moment = 0; moment < MOMENTS; moment += 1) {
      // Most of the work is done in the first 200 ms.
      const outcome = await killCreate(start, folder(), { afterMs: Math.random() ** 2 * 300 });
      killed += outcome.killed ? 1 : 0;
    }
    expect(killed).toBeGreaterThan(MOMENTS / 4);
  }, 600_000);
});
