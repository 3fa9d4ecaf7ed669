import { describeDeviceKinds } from '../support/device_kinds';
import { liveWithin } from '../support/memory_limits';
import { MIB, useTemporaryFolder } from '../support/temporary_folder';

const folder = useTemporaryFolder();

// test/long/memory_limit.test.ts has many more limits.
describeDeviceKinds('a mirror in processes of little memory, by', (device) => {
  test('is refused with a typed error where there is none for its pool, and costs nothing', async () => {
    const endings = await liveWithin(96 * MIB, folder(), device);
    expect(endings).toEqual({
      create: 'refused',
      'open and write': 'refused',
      write: 'done',
      recover: 'refused',
      inspect: 'refused',
    });
  }, 120_000);

  test('lives where there is enough', async () => {
    expect(new Set(Object.values(await liveWithin(2048 * MIB, folder(), device)))).toEqual(new Set(['done']));
  }, 120_000);
});
