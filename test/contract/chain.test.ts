import { join } from 'node:path';
import { test } from '@jest/globals';
import { nodePlatform } from '../../core/platform/node/index.ts';
import type { SimMachine } from '../../core/platform/sim/index.ts';
import { KiB, MiB } from '../../core/units.ts';
import {
  type ChainPlace,
  createChain,
  flushed,
  freezeHead,
  openChain,
  unmapped,
  written,
} from '../fixtures/chains.ts';
import { simulate } from '../fixtures/simulation.ts';
import { temporaryFolder } from '../fixtures/temporary-folder.ts';
import {
  checkReopened,
  describeBlockDevice,
  type OpenedDevice,
  type Reopen,
} from './block-device.ts';
import { WatchedDevice } from './watched-device.ts';

const SIZE_BYTES = 16 * MiB;
const PATCH_BYTES = 60 * KiB;

async function openOnFiles(): Promise<OpenedDevice> {
  const folder = await temporaryFolder('chain');
  const place = {
    platform: nodePlatform(),
    folder: join(folder.path, 'layers-1'),
    sizeBytes: SIZE_BYTES,
  };
  await createChain(place);
  const device = await openChain(place);
  return {
    device,
    close: async () => {
      await device.close();
      await folder[Symbol.asyncDispose]();
    },
  };
}

describeBlockDevice('a chain on real files', openOnFiles, { seedCount: 1 });

/** A device whose process can be killed, and whose machine can lose its power. */
interface SimulatedDevice extends OpenedDevice {
  readonly machine: SimMachine;
}

async function openSimulated(machine: SimMachine): Promise<SimulatedDevice> {
  const process = machine.process('replica');
  const place: ChainPlace = {
    platform: process.platform,
    folder: '/layers-1',
    sizeBytes: SIZE_BYTES,
  };
  const drive = <Value>(promise: Promise<Value>) => machine.simulation.finish(promise);
  if (!(await drive(process.platform.files.exists(place.folder)))) {
    await drive(createWithOlderLayers(place));
  }
  const device = await drive(openChain(place));
  return { machine, device, drive, close: async () => process.kill() };
}

/** All zeros, over two layers with something else here and there, and at both ends. */
async function createWithOlderLayers(place: ChainPlace): Promise<void> {
  await createChain(place);
  await place.platform.files.syncFolder('/');
  for (const name of ['one', 'two']) {
    const chain = await openChain(place);
    for (let at = 0; at <= SIZE_BYTES - PATCH_BYTES; at += MiB - PATCH_BYTES / 15) {
      await written(chain, at, Buffer.alloc(PATCH_BYTES, name));
    }
    await flushed(chain);
    await chain.close();
    await freezeHead(place, name);
  }
  const chain = await openChain(place);
  await unmapped(chain, 0, SIZE_BYTES);
  await flushed(chain);
  await chain.close();
}

const openOverOlderLayers = () => openSimulated(simulate('contract').machine('n1'));

const reopenAfterKill: Reopen = async (opened) => {
  const { machine } = opened as SimulatedDevice;
  for (const process of machine.processes) process.kill();
  await machine.simulation.runFor(1_000);
  return openSimulated(machine);
};

const reopenAfterPowerCut: Reopen = async (opened) => {
  const { machine } = opened as SimulatedDevice;
  machine.losePower();
  machine.boot();
  return openSimulated(machine);
};

describeBlockDevice('a chain of three layers, killed', openOverOlderLayers, {
  reopen: reopenAfterKill,
});
test('a chain of three layers has what was flushed after a power cut', async () => {
  const before = new WatchedDevice(await openOverOlderLayers());
  const after = await checkReopened(before, reopenAfterPowerCut);
  await after.close();
});
