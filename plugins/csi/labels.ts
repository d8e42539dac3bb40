/** Who uses a volume, in words for people: they appear in "in use by …". */
import type { StringMap } from './messages.ts';

/** The kubelet gives them with NodePublishVolume where CSIDriver has podInfoOnMount. */
const POD_NAME = 'csi.storage.k8s.io/pod.name';
const POD_NAMESPACE = 'csi.storage.k8s.io/pod.namespace';
const KUBERNETES_NAME = /^[a-z0-9]([-a-z0-9.]{0,125}[a-z0-9])?$/;
/** Nomad: `…/per-alloc/ALLOCATION/VOLUME/…`. */
const ALLOCATION = /\/per-alloc\/([0-9a-f]{8}-[0-9a-f-]{27})\//;
const LABEL_CHARACTERS_MAX = 256;

/** Empty when nothing is known but the path; that one is the consumer's id anyway. */
export function labelOf(context: StringMap, path: string): string {
  const { [POD_NAME]: pod = '', [POD_NAMESPACE]: namespace = '' } = context;
  if (KUBERNETES_NAME.test(pod) && KUBERNETES_NAME.test(namespace)) {
    return `pod ${namespace}/${pod}`.slice(0, LABEL_CHARACTERS_MAX);
  }
  const allocation = ALLOCATION.exec(path)?.[1];
  return allocation === undefined ? '' : `allocation ${allocation}`;
}
