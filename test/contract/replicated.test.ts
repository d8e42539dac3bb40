import { cacheOf } from '../../target/remote/data-session.ts';
import { RemoteReplica } from '../../target/remote/remote-replica.ts';
import { INCARNATION, SimulatedReplica, TOKEN, VOLUME } from '../fixtures/simulated-replica.ts';
import { SimulatedStore, SimulatedTarget, threeReplicas } from '../fixtures/simulated-target.ts';
import { simulate } from '../fixtures/simulation.ts';
import { describeBlockDevice, type OpenedDevice } from './block-device.ts';

const EPOCH = 1;
const INSTANCE = 'target-1';

/** A session over the wire to one replica on a simulated machine. */
async function openRemote(): Promise<OpenedDevice> {
  const simulation = simulate('remote');
  const replica = await new SimulatedReplica(simulation, 'n1').start();
  const process = simulation.machine('n2').process('target');
  const nothing = (): void => undefined;
  const { promise, resolve } = Promise.withResolvers<void>();
  const remote: RemoteReplica = new RemoteReplica(
    {
      id: replica.id,
      volumeId: VOLUME,
      incarnation: INCARNATION,
      token: TOKEN,
      sizeBytes: replica.sizeBytes,
      address: () => replica.address,
    },
    {
      network: process.platform.network,
      clock: process.platform.clock,
      listener: {
        inspected: (_id, hello) => {
          remote.promise(EPOCH, INSTANCE, () => {
            const key = { epoch: EPOCH, instance: INSTANCE, rebuildId: null };
            remote.openSession({ ...key, cache: cacheOf(hello) });
            resolve();
          });
        },
        refused: nothing,
        away: nothing,
        pinged: nothing,
        missed: nothing,
        fenced: nothing,
      },
    },
  );
  process.enter(() => remote.open());
  await simulation.finish(promise);
  return {
    device: remote,
    drive: (waited) => simulation.finish(waited),
    close: async () => remote.close(),
  };
}

describeBlockDevice('a remote replica', openRemote);

async function openReplicated(): Promise<OpenedDevice> {
  const simulation = simulate('replicated');
  const store = new SimulatedStore(await threeReplicas(simulation));
  const target = await new SimulatedTarget(simulation, store, { instance: 't1' }).serving();
  return {
    device: target.coordinator.volume,
    drive: (waited) => simulation.finish(waited),
    close: async () => target.process.kill(),
  };
}

describeBlockDevice('a volume of three replicas', openReplicated);
