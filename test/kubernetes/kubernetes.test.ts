/**
 * The Kubernetes door: from a StorageClass to nothing left, on a real Kubernetes, first with our
 * own parts alone and then with the official side-cars. One cluster, so the stories have an order.
 */
import { afterAll, beforeAll, describe, expect } from '@jest/globals';
import { needs } from '../fixtures/needs.ts';
import { CLUSTER_COMMANDS } from '../fixtures/rigs/cluster.ts';
import { BINARIES_GO } from '../fixtures/rigs/kubernetes/binaries.ts';
import { KUBERNETES_COMMANDS } from '../fixtures/rigs/kubernetes/kubernetes.ts';
import { missingPostgresql } from '../fixtures/rigs/kubernetes/postgresql-image.ts';
import { claim, DATA, DEVICE, pod, storageClass } from './objects.ts';
import { openRig, type Rig } from './rig.ts';

const needed = {
  linux: true,
  root: true,
  go: BINARIES_GO,
  command: [...CLUSTER_COMMANDS, ...KUBERNETES_COMMANDS],
};
const real = needs(needed);

/** Debian's, as an image by the name that the example has. */
const postgresql = needs(needed, missingPostgresql());

const START_TIMEOUT_MS = 240_000;
const END_TIMEOUT_MS = 120_000;

const WRITE = `dd if=/dev/urandom of=${DATA}/file bs=1M count=8 && cd ${DATA} && sha256sum file > sum && sync`;
const READ = `cd ${DATA} && sha256sum -c sum`;
/** Goes on until its Pod is deleted; every round proves that the volume can be written and read. */
const USE = `${WRITE}; while ${READ} && date > ${DATA}/last && sync; do sleep 1; done`;

let opened: Awaited<ReturnType<typeof openRig>> | null = null;

function rig(): Rig {
  if (opened === null) throw new Error('the rig did not start');
  return opened.rig;
}

if (real.reason === undefined) {
  beforeAll(async () => {
    opened = await openRig();
  }, START_TIMEOUT_MS);
  afterAll(async () => {
    await opened?.end();
  }, END_TIMEOUT_MS);
}

describe('with our own provisioner and no side-car at all', () => {
  real.test('the manifests start, unprivileged, and the kubelet registers the driver', async () => {
    await rig().deploy('node.yaml', 'provisioner.yaml', 'classes.yaml');
    await rig().untilRolledOut('daemonset/openebs-node', 'deployment/openebs-provisioner');
    await rig().untilRegistered();
    const described = await rig().kubernetes.kubectl('describe', 'csinode');
    expect(described).toContain('maya.csi.openebs.io');
  });

  real.test('what one Pod wrote another one reads, and with the claim all of it goes', async () => {
    const { kubernetes, cluster } = rig();
    await rig().create(claim('web', { storageClass: 'openebs' }));
    await rig().untilEvent('web', /waiting for first consumer/);
    expect((await cluster.client.listVolumes()).volumes).toEqual([]);
    await rig().create(pod('writer', WRITE, { claim: 'web' }));
    await rig().untilPod('writer', 'Succeeded');
    const volume = await rig().volumeOf('web');
    expect((await cluster.volume(volume)).members.map(({ node }) => node)).toContain('node-1');
    await rig().remove('pod', 'writer');
    await rig().create(pod('reader', READ, { claim: 'web' }));
    await rig().untilPod('reader', 'Succeeded');
    expect(await kubernetes.kubectl('logs', 'reader')).toBe('file: OK');
    await rig().remove('pod', 'reader');
    await rig().remove('pvc', 'web');
    await rig().untilNothingIsLeft();
  });

  postgresql.test('PostgreSQL keeps its rows when its Pod is replaced', async () => {
    const { kubernetes } = rig();
    const ready = () => kubernetes.kubectl('rollout', 'status', 'statefulset/postgresql');
    const sql = (...statements: readonly string[]) => {
      const psql = ['psql', '--username=postgres', '--tuples-only', '--no-align'];
      const commands = statements.map((statement) => `--command=${statement}`);
      return kubernetes.kubectl('exec', 'postgresql-0', '--', ...psql, ...commands);
    };
    await rig().deploy('postgresql.yaml');
    await ready();
    await sql('create table t (n int)', 'insert into t values (42)');
    await rig().remove('pod', 'postgresql-0');
    await ready();
    expect(await sql('select n from t')).toBe('42');
    await rig().undeploy('postgresql.yaml');
    await rig().remove('pvc', 'data-postgresql-0');
    await rig().untilNothingIsLeft();
  });

  real.test('a volume goes on while kubelet, plugin and agent are restarted under it', async () => {
    const { kubernetes, cluster } = rig();
    await rig().create(
      claim('busy', { storageClass: 'openebs' }),
      pod('user', USE, { claim: 'busy' }),
    );
    await rig().untilPod('user', 'Running');
    await kubernetes.node.restartKubelet();
    await cluster.killAndAwaitNext('agent', 'node-1');
    await rig().remove('pod', '--namespace=openebs', '--selector=app.kubernetes.io/component=node');
    await rig().untilRolledOut('daemonset/openebs-node');
    await rig().untilRegistered();
    const seen = await kubernetes.kubectl('exec', 'user', '--', 'cat', `${DATA}/last`);
    await rig().untilPod('user', 'Running');
    expect(seen).not.toBe('');
    await rig().remove('pod', 'user');
    await rig().create(pod('reader', READ, { claim: 'busy' }));
    await rig().untilPod('reader', 'Succeeded');
    await rig().remove('pod', 'reader');
    await rig().remove('pvc', 'busy');
    await rig().untilNothingIsLeft();
  });

  real.test(
    'a volume that a Pod holds is refused through another door, with its name',
    async () => {
      const accessMode = 'ReadWriteOncePod';
      await rig().create(claim('held', { storageClass: 'openebs', accessMode }));
      await rig().create(pod('user', USE, { claim: 'held' }));
      await rig().untilPod('user', 'Running');
      const volume = await rig().volumeOf('held');
      const refused = await rig().cluster.tryMayactl('volume', 'attach', volume);
      expect(refused.stderr).toMatch(/in use by kubernetes \(pod default\/user\) on node node-1/);
      await rig().remove('pod', 'user');
      await rig().remove('pvc', 'held');
      await rig().untilNothingIsLeft();
    },
  );

  real.test('a class with the historical name and parameters works as it always did', async () => {
    const { kubernetes, cluster } = rig();
    await rig().create(claim('old', { storageClass: 'openebs-jiva-default' }));
    await kubernetes.untilField(['{.status.phase}', 'Bound'], ['pvc', 'old']);
    const volume = await rig().volumeOf('old');
    const driver = await kubernetes.field('{.spec.csi.driver}', 'pv', volume);
    expect(driver).toBe('maya.csi.openebs.io');
    expect((await cluster.volume(volume)).replicas).toBe(3);
    await rig().create(pod('writer', `${WRITE} && ${READ}`, { claim: 'old' }));
    await rig().untilPod('writer', 'Succeeded');
    await rig().remove('pod', 'writer');
    await rig().remove('pvc', 'old');
    await rig().untilNothingIsLeft();
  });

  real.test('a raw block volume keeps its bytes from Pod to Pod', async () => {
    const on = { claim: 'raw', block: true };
    const marker = 'written to the device itself';
    await rig().create(claim('raw', { storageClass: 'openebs', block: true }));
    const write = `printf '${marker}' | dd of=${DEVICE} bs=4096 conv=sync && sync`;
    await rig().create(pod('writer', write, on));
    await rig().untilPod('writer', 'Succeeded');
    await rig().remove('pod', 'writer');
    await rig().create(pod('reader', `head -c ${marker.length} ${DEVICE}`, on));
    await rig().untilPod('reader', 'Succeeded');
    expect(await rig().kubernetes.kubectl('logs', 'reader')).toBe(marker);
    await rig().remove('pod', 'reader');
    await rig().remove('pvc', 'raw');
    await rig().untilNothingIsLeft();
  });

  real.test('what cannot be right is told on the claim, with what would be', async () => {
    await rig().create(
      storageClass('misspelt', { parameters: { replicaz: '2' } }),
      storageClass('plain', {}),
      claim('misspelt', { storageClass: 'misspelt' }),
      claim('shared', { storageClass: 'plain', accessMode: 'ReadWriteMany' }),
      claim('vast', { storageClass: 'plain', size: '60Ti' }),
    );
    await rig().untilEvent(
      'misspelt',
      /parameter "replicaz" is unknown; valid parameters: replicas/,
    );
    await rig().untilEvent('shared', /ReadWriteMany is not available: ask for ReadWriteOnce/);
    await rig().untilEvent('vast', /cannot be placed: it needs 3 replicas of 60 TiB.* GiB free/);
    await rig().remove('pvc', 'misspelt', 'shared', 'vast');
    await rig().remove('storageclass', 'misspelt', 'plain');
    await rig().untilNothingIsLeft();
  });

  real.test('a volume to be retained outlives its claim, and its object', async () => {
    const { kubernetes, cluster } = rig();
    await rig().create(
      storageClass('kept', { reclaimPolicy: 'Retain', parameters: { replicas: '1' } }),
      claim('kept', { storageClass: 'kept' }),
    );
    await kubernetes.untilField(['{.status.phase}', 'Bound'], ['pvc', 'kept']);
    const volume = await rig().volumeOf('kept');
    await rig().remove('pvc', 'kept');
    await kubernetes.untilField(['{.status.phase}', 'Released'], ['pv', volume]);
    await rig().remove('pv', volume);
    expect((await cluster.volume(volume)).phase).toBe('ready');
    await cluster.mayactl('volume', 'delete', volume, '--yes');
    await rig().remove('storageclass', 'kept');
    await rig().untilNothingIsLeft();
  });

  real.test('when the provisioner that leads is killed, the other one goes on', async () => {
    const { kubernetes } = rig();
    const lease = ['lease', 'openebs-provisioner', '--namespace', 'openebs'];
    const holder = await kubernetes.field('{.spec.holderIdentity}', ...lease);
    const [leader = ''] = holder.split('_');
    await rig().killIn(leader);
    await rig().create(claim('next', { storageClass: 'openebs-jiva-default' }));
    await kubernetes.untilField(['{.status.phase}', 'Bound'], ['pvc', 'next']);
    const next = await kubernetes.field('{.spec.holderIdentity}', ...lease);
    expect(next).not.toBe(holder);
    await rig().remove('pvc', 'next');
    await rig().untilNothingIsLeft();
  });
});

describe('with the official provisioner and attacher', () => {
  real.test('they take over the driver, and delete what ours made', async () => {
    const { kubernetes } = rig();
    await rig().create(
      storageClass('immediate', { parameters: { replicas: '1' } }),
      claim('inherited', { storageClass: 'immediate' }),
    );
    await kubernetes.untilField(['{.status.phase}', 'Bound'], ['pvc', 'inherited']);
    await rig().undeploy('provisioner.yaml');
    await rig().deploy('sidecars.yaml');
    await rig().untilRolledOut('deployment/openebs-controller');
    await rig().remove('pvc', 'inherited');
    await rig().remove('storageclass', 'immediate');
    await rig().untilNothingIsLeft();
  });

  real.test('a claim has its volume attached, and used as before, and all of it goes', async () => {
    const { kubernetes, cluster } = rig();
    await rig().create(
      claim('web', { storageClass: 'openebs' }),
      pod('user', USE, { claim: 'web' }),
    );
    await rig().untilPod('user', 'Running');
    const volume = await rig().volumeOf('web');
    const attached = '{.items[*].spec.source.persistentVolumeName}';
    expect(await kubernetes.field(attached, 'volumeattachments')).toBe(volume);
    expect((await cluster.volume(volume)).claim).toMatchObject({
      node: 'node-1',
      door: 'kubernetes',
    });
    await kubernetes.node.restartKubelet();
    await cluster.killAndAwaitNext('agent', 'node-1');
    await rig().remove('pod', '--namespace=openebs', '--all');
    await rig().untilRolledOut('daemonset/openebs-node', 'deployment/openebs-controller');
    await rig().untilRegistered();
    await rig().remove('pod', 'user');
    await rig().create(pod('reader', READ, { claim: 'web' }));
    await rig().untilPod('reader', 'Succeeded');
    await rig().remove('pod', 'reader');
    await rig().remove('pvc', 'web');
    await rig().untilNothingIsLeft();
  });

  real.test('a raw block volume is attached, written and gone', async () => {
    await rig().create(claim('raw', { storageClass: 'openebs', block: true }));
    const script = `echo here | dd of=${DEVICE} bs=512 conv=sync && head -c 4 ${DEVICE}`;
    await rig().create(pod('writer', script, { claim: 'raw', block: true }));
    await rig().untilPod('writer', 'Succeeded');
    expect(await rig().kubernetes.kubectl('logs', 'writer')).toContain('here');
    await rig().remove('pod', 'writer');
    await rig().remove('pvc', 'raw');
    await rig().untilNothingIsLeft();
  });

  real.test('and back: our own provisioner deletes what they made, and serves again', async () => {
    const { kubernetes } = rig();
    const bound = (name: string) =>
      kubernetes.untilField(['{.status.phase}', 'Bound'], ['pvc', name]);
    await rig().create(
      storageClass('immediate', { parameters: { replicas: '1' } }),
      claim('theirs', { storageClass: 'immediate' }),
    );
    await bound('theirs');
    await rig().undeploy('sidecars.yaml');
    await rig().deploy('node.yaml', 'provisioner.yaml', 'classes.yaml');
    await rig().create(claim('ours', { storageClass: 'immediate' }));
    await bound('ours');
    await rig().remove('pvc', 'theirs', 'ours');
    await rig().remove('storageclass', 'immediate');
    await rig().untilNothingIsLeft();
  });
});
