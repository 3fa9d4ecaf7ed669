import { type Start, killCreate } from '../support/create_kills';
import { useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();
const STARTS: Start[] = ['nothing there', 'a master with data', 'a mirror to be replaced'];

// test/long/create_killed.test.ts has every step, and hundreds of moments between them.
describe.each(STARTS)('create, with %s, killed', (start) => {
  test('can be run again as it was, binds roles and images, and never costs the data of the master', async () => {
    let killed = 0;
    let bound = 0;
    for (const event of [1, 3, 5, 8]) {
      const outcome = await killCreate(start, folder(), { event });
      killed += outcome.killed ? 1 : 0;
      bound += outcome.bound ? 1 : 0;
    }
    expect(killed).toBeGreaterThanOrEqual(3);
    expect(bound).toBe(killed);
    await killCreate(start, folder(), { afterMs: 15 });
  }, 60_000);
});
