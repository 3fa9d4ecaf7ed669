import { describeDeviceKinds } from '../support/device_kinds';
import { type Ending, liveWithin } from '../support/memory_limits';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();

// From where Node itself can hardly go on, in steps that grow, to ample.
const LIMITS = [
  2, 3, 4, 6, 8, 12, 16, 24, 32, 64, 128, 192, 256, 272, 288, 292, 296, 300, 304, 320, 336, 352, 368, 384, 416, 448,
  512,
];

describeDeviceKinds('a mirror in processes of little memory, by', (device) => {
  test(`lives, is refused, or ends as Node does, and nothing is lost: ${LIMITS.length} limits`, async () => {
    const endings = new Set<Ending>();
    for (const limit of [...LIMITS, 1024]) {
      for (const ending of Object.values(await liveWithin(limit * MIB, folder(), device))) endings.add(ending);
    }
    expect(endings).toContain('done');
    expect(endings).toContain('refused');
  }, 900_000);
});
