/** The same tests over both ways to reach the images. */
import { type DeviceKind, probeIoUring, systemErrorName } from '../../lib/index';
import { describeUnless } from './skip';

const refused = probeIoUring();

/** Why io_uring cannot be had here; null when it can. */
export const noIoUring: string | null = refused === 0 ? null : `io_uring is refused here: ${systemErrorName(refused)}`;

export function describeDeviceKinds(name: string, body: (device: DeviceKind) => void): void {
  describeUnless(noIoUring, `${name} io_uring`, () => body('io_uring'));
  describe(`${name} threads`, () => body('threads'));
}
