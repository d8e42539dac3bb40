import { MemoryBlockDevice } from '../../core/block/memory-block-device.ts';
import { MiB } from '../../core/units.ts';
import { describeBlockDevice } from './block-device.ts';

describeBlockDevice(
  'a MemoryBlockDevice',
  async () => ({
    device: new MemoryBlockDevice({ sizeBytes: 64 * MiB }),
    close: async () => undefined,
  }),
  { reopen: async (opened) => opened },
);
