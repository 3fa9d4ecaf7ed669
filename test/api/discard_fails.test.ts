/** A discard is several lanes that share its regions: what any of them met is its answer. */
import { Mirror } from '../../lib/index';
import { useFailingDevices } from '../support/failing_device';
import { noLoopDevices, useLoopDevices } from '../support/loop_device';
import { describeUnless } from '../support/skip';
import { MIB, failure, useMirrors } from './support';

const mirrors = useMirrors();

describeUnless(noLoopDevices, 'a discard', () => {
  const makeLoop = useLoopDevices();
  const makeFailing = useFailingDevices();

  test('of which the master refuses a part is rejected by its name', async () => {
    const master = makeFailing(16 * MIB);
    const paths = { log: makeLoop(32 * MIB).path, master: master.path, slaves: [makeLoop(16 * MIB).path] };
    await Mirror.create({ ...paths, readBack: false });
    const mirror = await mirrors.open(paths);
    master.breakIt();
    const error = await failure(mirror.discard(0, 8 * MIB), 'MASTER_FAILED');
    expect(error.path).toBe(master.path);
    await mirror.close();
  });
});
