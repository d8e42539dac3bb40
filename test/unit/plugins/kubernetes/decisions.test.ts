import { describe, expect, test } from '@jest/globals';
import { decideClaim } from '../../../../plugins/kubernetes/claim-decision.ts';
import {
  CLAIM_FINALIZER,
  PROVISIONED_BY,
  PROVISIONERS,
  VOLUME_FINALIZER,
} from '../../../../plugins/kubernetes/names.ts';
import type { PersistentVolume } from '../../../../plugins/kubernetes/objects.ts';
import { decideVolume } from '../../../../plugins/kubernetes/volume-decision.ts';
import { aClaim, aClass, type ClaimChange } from '../../../fixtures/kubernetes/objects.ts';

const DELETED = { deletionTimestamp: '2026-01-01T00:00:00Z' };
const PROTECTION = 'kubernetes.io/pv-protection';

function aVolume(
  metadata: Partial<PersistentVolume['metadata']> = {},
  phase = 'Bound',
  policy = 'Delete',
): PersistentVolume {
  return {
    metadata: {
      name: 'pvc-1',
      annotations: { [PROVISIONED_BY]: 'maya.csi.openebs.io' },
      finalizers: [PROTECTION, VOLUME_FINALIZER],
      ...metadata,
    },
    spec: {
      persistentVolumeReclaimPolicy: policy,
      csi: { driver: 'maya.csi.openebs.io', volumeHandle: 'the-id' },
    },
    status: { phase },
  };
}

describe('a claim', () => {
  type World = Partial<Parameters<typeof decideClaim>[1]>;
  const decide = (change: ClaimChange, world: World = {}) =>
    decideClaim(aClaim(change), {
      storageClass: aClass(),
      volume: undefined,
      provisioners: PROVISIONERS,
      ...world,
    }).kind;
  const held = { finalizers: [CLAIM_FINALIZER] };

  test('without a volume gets one', () => {
    expect(decide({})).toBe('provision');
  });

  test('that other provisioners serve is left alone', () => {
    expect(decide({ provisioner: 'somebody.else' })).toBe('nothing');
    const provisioners = ['openebs.io/provisioner-iscsi'];
    expect(decide({}, { provisioners })).toBe('nothing');
  });

  test('of a historical class is served, also with the older annotation', () => {
    const storageClass = aClass({ provisioner: 'openebs.io/provisioner-iscsi' });
    expect(decide({ provisioner: storageClass.provisioner }, { storageClass })).toBe('provision');
    const annotations = {
      'volume.beta.kubernetes.io/storage-provisioner': storageClass.provisioner,
    };
    const claim = aClaim();
    const older = { ...claim, metadata: { ...claim.metadata, annotations } };
    const world = { storageClass, volume: undefined, provisioners: PROVISIONERS };
    expect(decideClaim(older, world).kind).toBe('provision');
  });

  test('whose class waits for a consumer waits until a node is chosen', () => {
    const storageClass = aClass({ volumeBindingMode: 'WaitForFirstConsumer' });
    expect(decide({}, { storageClass })).toBe('nothing');
    const annotations = { 'volume.kubernetes.io/selected-node': 'worker-1' };
    expect(decide({ annotations }, { storageClass })).toBe('provision');
  });

  test('whose class is not there, or is another one by now, gets no volume', () => {
    expect(() => decide({}, { storageClass: undefined })).toThrow('no StorageClass "openebs"');
    expect(decide({}, { storageClass: aClass({ provisioner: 'x' }) })).toBe('nothing');
  });

  test('that has its volume is let go', () => {
    expect(decide(held, { volume: aVolume() })).toBe('release');
    expect(decide({}, { volume: aVolume() })).toBe('nothing');
    expect(decide({ ...held, ...DELETED }, { volume: aVolume() })).toBe('release');
  });

  test('that is deleted before it has a volume leaves none behind', () => {
    expect(decide({ ...held, ...DELETED })).toBe('undo');
    expect(decide(DELETED)).toBe('nothing');
  });

  test('that was bound to another volume meanwhile leaves none behind', () => {
    expect(decide({ ...held, spec: { volumeName: 'other' } })).toBe('undo');
    expect(decide({ spec: { volumeName: 'other' } })).toBe('nothing');
  });
});

describe('a volume', () => {
  const decide = (volume: PersistentVolume) => decideVolume(volume, PROVISIONERS).kind;

  test('that is released is deleted, with the id that it was made with', () => {
    const volume = aVolume({}, 'Released');
    expect(decideVolume(volume, PROVISIONERS)).toEqual({ kind: 'delete', volumeId: 'the-id' });
  });

  test.each(['Bound', 'Available', 'Pending', 'Failed'])('that is %s stays', (phase) => {
    expect(decide(aVolume({}, phase))).toBe('nothing');
  });

  test('that is to be retained stays, and its object goes when somebody deletes it', () => {
    expect(decide(aVolume({}, 'Released', 'Retain'))).toBe('nothing');
    expect(decide(aVolume(DELETED, 'Released', 'Retain'))).toBe('release');
  });

  test('of somebody else stays', () => {
    const annotations = { [PROVISIONED_BY]: 'somebody.else' };
    expect(decide(aVolume({ annotations }, 'Released'))).toBe('nothing');
    expect(decide(aVolume({ annotations: {} }, 'Released'))).toBe('nothing');
    const { metadata, status } = aVolume({}, 'Released');
    const csi = { driver: 'other', volumeHandle: 'the-id' };
    const spec = { persistentVolumeReclaimPolicy: 'Delete', csi };
    expect(decide({ metadata, spec, status: status ?? {} })).toBe('nothing');
  });

  test('that is deleted by hand takes its storage along, but not while a claim is bound', () => {
    expect(decide(aVolume(DELETED, 'Bound'))).toBe('nothing');
    expect(decide(aVolume(DELETED, 'Available'))).toBe('nothing');
    const finalizers = [VOLUME_FINALIZER];
    expect(decide(aVolume({ ...DELETED, finalizers }, 'Available'))).toBe('delete');
    expect(decide(aVolume({ ...DELETED, finalizers }, 'Bound'))).toBe('nothing');
    expect(decide(aVolume({ ...DELETED, finalizers: [PROTECTION] }, 'Released'))).toBe('nothing');
  });
});
