import { describe, expect, test } from '@jest/globals';
import { parse } from 'yaml';
import { silentLogger } from '../../../../core/platform/index.ts';
import { KubernetesError } from '../../../../plugins/kubernetes/api.ts';
import { Events } from '../../../../plugins/kubernetes/events.ts';
import {
  CLAIM_FINALIZER,
  PROVISIONERS,
  VOLUME_FINALIZER,
} from '../../../../plugins/kubernetes/names.ts';
import { Provisioner } from '../../../../plugins/kubernetes/provisioner.ts';
import { FakeKubernetes } from '../../../fixtures/kubernetes/fake-kubernetes.ts';
import { FakeVolumes } from '../../../fixtures/kubernetes/fake-volumes.ts';
import {
  aClaim,
  aClass,
  CLAIM_UID,
  type ClaimChange,
  VOLUME_NAME,
} from '../../../fixtures/kubernetes/objects.ts';
import { ManualClock } from '../../../fixtures/manual-clock.ts';

/** Every death leaves Kubernetes and the volumes behind, and a new provisioner finds them. */
class Rig {
  readonly api = new FakeKubernetes();
  readonly agent = new FakeVolumes();
  readonly clock = new ManualClock();

  get provisioner(): Provisioner {
    const random = {
      below: () => 0,
      uuid: () => '',
      bytes: (length: number) => Buffer.alloc(length),
    };
    const log = silentLogger;
    return new Provisioner({
      api: this.api,
      view: this.api,
      agent: this.agent.client,
      events: new Events(this.api, { clock: this.clock, random, log }),
      log,
      parseYaml: (text) => parse(text) as unknown,
      provisioners: PROVISIONERS,
    });
  }

  claim(change: ClaimChange = {}): this {
    this.api.putClaim(aClaim(change));
    return this;
  }

  reconcile(): Promise<void> {
    return this.provisioner.reconcileClaim('default', 'web');
  }

  /** Again and again, as the queue does, until it is at rest. */
  async untilAtRest(): Promise<void> {
    for (let failures = 0; ; failures += 1) {
      try {
        await this.reconcile();
        await this.provisioner.reconcileVolume(VOLUME_NAME);
        return;
      } catch (error) {
        if (failures > 5) throw error;
      }
    }
  }

  release(): void {
    const volume = this.api.volume(VOLUME_NAME);
    if (volume === undefined) throw new Error('there is a volume');
    this.api.deleteClaim('default', 'web');
    this.api.putVolume({ ...volume, status: { phase: 'Released' } });
  }
}

function rig(): Rig {
  const made = new Rig();
  made.api.putClass(aClass());
  return made;
}

describe('a claim', () => {
  test('gets a volume that is bound to it and served by our CSI driver', async () => {
    const { api, agent, ...one } = withRig();
    await one.reconcile();
    const [volume] = api.storedVolumes();
    const id = agent.volumes.get(VOLUME_NAME)?.id;
    expect(volume).toMatchObject({
      metadata: {
        name: VOLUME_NAME,
        annotations: { 'pv.kubernetes.io/provisioned-by': 'maya.csi.openebs.io' },
        finalizers: [VOLUME_FINALIZER],
      },
      spec: {
        capacity: { storage: '1Gi' },
        accessModes: ['ReadWriteOnce'],
        claimRef: { namespace: 'default', name: 'web', uid: CLAIM_UID },
        persistentVolumeReclaimPolicy: 'Delete',
        storageClassName: 'openebs',
        volumeMode: 'Filesystem',
        csi: { driver: 'maya.csi.openebs.io', volumeHandle: id, fsType: 'ext4' },
      },
    });
    expect(api.events).toMatchObject([{ type: 'Normal', reason: 'ProvisioningSucceeded' }]);
    expect(api.claim('default', 'web')?.metadata.finalizers).toEqual([
      'kubernetes.io/pvc-protection',
    ]);
  });

  test('of a historical class gets a CSI volume that is provisioned by the old name', async () => {
    const provisioner = 'openebs.io/provisioner-iscsi';
    const one = rig().claim({ provisioner });
    const parameters = { 'openebs.io/jiva-replica-count': '2' };
    one.api.putClass(aClass({ provisioner, parameters, reclaimPolicy: 'Retain' }));
    await one.reconcile();
    const [volume] = one.api.storedVolumes();
    expect(volume?.metadata.annotations).toEqual({
      'pv.kubernetes.io/provisioned-by': provisioner,
    });
    expect(volume?.metadata.finalizers).toBeUndefined();
    expect(volume?.spec?.csi?.driver).toBe('maya.csi.openebs.io');
    expect(one.agent.volumes.get(VOLUME_NAME)?.request.replicas).toBe(2);
  });

  test('for a raw block volume has no file system in its volume', async () => {
    const one = rig().claim({ spec: { ...aClaim().spec, volumeMode: 'Block' } });
    await one.reconcile();
    expect(one.api.storedVolumes()[0]?.spec).toMatchObject({ volumeMode: 'Block' });
    expect(one.api.storedVolumes()[0]?.spec?.csi).not.toHaveProperty('fsType');
  });

  test('whose consumer will run on a node prefers what OpenEBS calls that node', async () => {
    const annotations = { 'volume.kubernetes.io/selected-node': 'worker-1' };
    const one = rig().claim({ annotations });
    const drivers = [{ name: 'maya.csi.openebs.io', nodeID: 'node-7' }];
    one.api.csiNodes.set('worker-1', { metadata: { name: 'worker-1' }, spec: { drivers } });
    await one.reconcile();
    expect(one.agent.volumes.get(VOLUME_NAME)?.request.preferredNodes).toEqual(['node-7']);
  });

  test('whose consumer will run where our driver does not run yet prefers nothing', async () => {
    const one = rig().claim({ annotations: { 'volume.kubernetes.io/selected-node': 'worker-1' } });
    one.api.nodes.add('worker-1');
    await one.reconcile();
    expect(one.agent.volumes.get(VOLUME_NAME)?.request).not.toHaveProperty('preferredNodes');
  });

  test('whose chosen node is gone asks the scheduler to choose again', async () => {
    const one = rig().claim({ annotations: { 'volume.kubernetes.io/selected-node': 'worker-1' } });
    await one.reconcile();
    const { annotations } = one.api.claim('default', 'web')?.metadata ?? {};
    expect(annotations).not.toHaveProperty('volume.kubernetes.io/selected-node');
    expect(one.agent.volumes.size).toBe(0);
  });

  test('that cannot be right is told so, and makes nothing', async () => {
    const one = rig().claim();
    one.api.putClass(aClass({ parameters: { replicaz: '2' } }));
    await expect(one.reconcile()).rejects.toThrow('replicaz');
    expect(one.api.events).toMatchObject([
      {
        type: 'Warning',
        reason: 'ProvisioningFailed',
        subject: { kind: 'PersistentVolumeClaim', namespace: 'default', name: 'web' },
        message: expect.stringContaining('valid parameters: replicas'),
      },
    ]);
    expect(one.agent.calls).toEqual([]);
  });

  test('that OpenEBS refuses is told why', async () => {
    const one = rig().claim();
    one.agent.failure = { code: 'noSpace', detail: 'volume "x": no pool has 1 GiB free' };
    await expect(one.reconcile()).rejects.toThrow('no pool has');
    expect(one.api.events[0]?.message).toBe('volume "x": no pool has 1 GiB free');
  });

  test('that somebody changed meanwhile is tried again, and nobody is told', async () => {
    const one = rig().claim();
    one.api.beforeWrite = (call) => {
      if (call !== 'setClaimFinalizers') return;
      one.api.beforeWrite = () => undefined;
      throw new KubernetesError({ code: 'conflict' }, 'changed');
    };
    await expect(one.reconcile()).rejects.toThrow('changed');
    await one.untilAtRest();
    expect(one.api.events.map(({ reason }) => reason)).toEqual(['ProvisioningSucceeded']);
  });
});

describe('whatever the provisioner dies of', () => {
  const writes = ['setClaimFinalizers', 'createVolume', 'createEvent'];

  test.each(writes)('before %s, the claim gets one volume in the end', async (call) => {
    const one = rig().claim();
    dieBefore(one, call);
    await one.reconcile().catch(() => undefined);
    await one.untilAtRest();
    expect(one.api.storedVolumes()).toHaveLength(1);
    expect(one.agent.volumes.size).toBe(1);
    const { finalizers } = one.api.claim('default', 'web')?.metadata ?? {};
    expect(finalizers).not.toContain(CLAIM_FINALIZER);
  });

  test.each(writes)('before %s, a claim deleted then leaves no volume behind', async (call) => {
    const one = rig().claim({ finalizers: [] });
    dieBefore(one, call);
    await one.reconcile().catch(() => undefined);
    one.api.deleteClaim('default', 'web');
    await one.untilAtRest();
    expect(one.api.claim('default', 'web')).toBeUndefined();
    // A volume of Kubernetes has a life of its own from the moment it is there.
    expect(one.agent.volumes.size).toBe(one.api.storedVolumes().length);
  });

  test('a volume whose answer was lost is the same one at the next try', async () => {
    const one = rig().claim();
    one.agent.losesAnswers = true;
    await expect(one.reconcile()).rejects.toThrow('cannot be reached');
    const id = one.agent.volumes.get(VOLUME_NAME)?.id;
    one.agent.losesAnswers = false;
    await one.untilAtRest();
    expect(one.api.storedVolumes()[0]?.spec?.csi?.volumeHandle).toBe(id);
  });

  test('a claim deleted while the view is late keeps the volume that Kubernetes has', async () => {
    const one = rig().claim();
    one.api.freezeView();
    dieBefore(one, 'createEvent');
    await one.reconcile().catch(() => undefined);
    const claim = one.api.claim('default', 'web');
    if (claim === undefined) throw new Error('there is a claim');
    one.api.putClaim({
      ...claim,
      metadata: { ...claim.metadata, finalizers: [CLAIM_FINALIZER], deletionTimestamp: 'now' },
    });
    await one.reconcile();
    expect(one.agent.volumes.size).toBe(1);
  });

  test.each(['deleteVolume', 'setVolumeFinalizers'])(
    'before %s, a released volume goes in the end, storage and all',
    async (call) => {
      const one = rig().claim({ finalizers: [] });
      await one.reconcile();
      one.release();
      dieBefore(one, call);
      await one.untilAtRest();
      expect(one.api.storedVolumes()).toEqual([]);
      expect(one.agent.volumes.size).toBe(0);
    },
  );
});

describe('a released volume', () => {
  test('that is still in use is told so, and stays until it is not', async () => {
    const one = rig().claim({ finalizers: [] });
    await one.reconcile();
    one.release();
    one.agent.failure = { code: 'inUse', detail: 'volume "x": in use by docker (4f2a) on node-1' };
    await expect(one.provisioner.reconcileVolume(VOLUME_NAME)).rejects.toThrow('in use by');
    expect(one.api.events.at(-1)).toMatchObject({
      reason: 'VolumeFailedDelete',
      subject: { kind: 'PersistentVolume', name: VOLUME_NAME },
    });
    expect(one.api.storedVolumes()).toHaveLength(1);
    one.agent.failure = null;
    await one.untilAtRest();
    expect(one.api.storedVolumes()).toEqual([]);
  });

  test('that is bound again by the time it is looked at stays', async () => {
    const one = rig().claim({ finalizers: [] });
    await one.reconcile();
    one.release();
    one.api.freezeView();
    const [volume] = one.api.storedVolumes();
    if (volume === undefined) throw new Error('there is a volume');
    one.api.putVolume({ ...volume, status: { phase: 'Bound' } });
    await one.provisioner.reconcileVolume(VOLUME_NAME);
    expect(one.agent.volumes.size).toBe(1);
  });
});

function dieBefore({ api }: Rig, call: string): void {
  api.beforeWrite = (name) => {
    if (name !== call) return;
    api.beforeWrite = () => undefined;
    throw new Error('the provisioner died');
  };
}

function withRig() {
  const one = rig().claim();
  return { api: one.api, agent: one.agent, reconcile: () => one.reconcile() };
}
