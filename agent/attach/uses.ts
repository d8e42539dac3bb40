/** Who may use an attached volume together, and what is refused. Pure. */
import {
  type AgentAttachAnswer,
  type AgentDetach,
  apiError,
  type Holder,
  NAMELESS_CONSUMER,
} from '../../core/api/index.ts';
import type { Attachment, Consumer } from '../state/schemas.ts';

/** By id or name: what is attached on this node. */
export function attachedAs(
  attachments: readonly Attachment[],
  reference: string,
): Attachment | undefined {
  return attachments.find(
    ({ volumeId, volumeName }) => volumeId === reference || volumeName === reference,
  );
}

/** Attached, or on its way out and still as it was. */
export function isUp({ phase, kind, device, published }: Attachment): boolean {
  if (phase === 'attached') return true;
  return phase === 'detaching' && kind !== 'portal' && device !== null && published.length === 0;
}

/** Nothing of it is left on this node: only the record has to be told. */
export function isDown({ phase, device }: Attachment): boolean {
  return phase === 'detaching' && device === null;
}

export function answer(attachment: Attachment, holders: Holder[]): AgentAttachAnswer {
  const { volumeId, mountpoint, device } = attachment;
  const iqn = attachment.iqn ?? '';
  const portal = attachment.portal ?? '';
  const url = `iscsi://${portal}/${iqn}/0`;
  return { volumeId, mountpoint, device, portal, iqn, url, holders };
}

export function withConsumer(consumers: readonly Consumer[], consumer: Consumer): Consumer[] {
  return [...consumers.filter(({ id }) => id !== consumer.id), consumer];
}

/** Two ways of using one volume at a time would be two writers that do not know of each other. */
export function requireSameUse(
  present: Attachment,
  kind: Attachment['kind'],
  initiatorNames: readonly string[],
): void {
  const isSame =
    present.kind === kind && present.initiatorNames.join(' ') === initiatorNames.join(' ');
  if (isSame) return;
  const holders = namesOf(present);
  const use = { mount: 'mounted', device: 'attached as a device', portal: 'open to initiators' };
  throw apiError(
    'inUse',
    `volume "${present.volumeName}" is ${use[present.kind]} on this node for ${holders}: ` +
      'detach it there first',
    { volume: present.volumeName, holder: holders },
  );
}

function namesOf({ consumers }: Attachment): string {
  return consumers.map(({ id }) => id ?? NAMELESS_CONSUMER).join(', ');
}

/** One at a time holds a volume: what goes through another door has let go, or never had it. */
export function isOfAnother({ door }: Attachment, request: AgentDetach): boolean {
  return request.door !== undefined && request.door !== door && request.all !== true;
}

/**
 * Before an attachment whose device is gone is made anew: what shows it elsewhere would go on
 * showing the old one, and be forgotten.
 */
export function requireNothingShown({ volumeName, phase, published }: Attachment): void {
  if (phase !== 'attached' || published.length === 0) return;
  const paths = published.map(({ targetPath }) => targetPath).join(', ');
  throw apiError(
    'inUse',
    `volume "${volumeName}" has lost its device on this node, and ${paths} still shows it: stop ` +
      'what uses it and unpublish it there, then it is attached anew',
    { volume: volumeName, holder: paths },
  );
}

/** A file system has one set of options, for all who have it mounted. */
export function requireSameOptions(present: Attachment, { id, mountOptions }: Consumer): void {
  const others = present.consumers.filter((other) => other.id !== id);
  const differing = others.find((other) => words(other) !== words({ mountOptions }));
  if (differing === undefined) return;
  const { volumeName } = present;
  const has = differing.mountOptions.join(',') || 'none';
  throw apiError(
    'exists',
    `volume "${volumeName}" is mounted with other options (${has}) for ` +
      `${differing.id ?? NAMELESS_CONSUMER}: use the same ones, or detach it there first`,
    { volume: volumeName },
  );
}

function words({ mountOptions }: Pick<Consumer, 'mountOptions'>): string {
  return mountOptions.toSorted().join(',');
}

export function requireSameStaging(
  present: Attachment,
  { id, readOnly, mountOptions }: Consumer,
): void {
  const before = present.consumers.find((other) => other.id === id);
  if (before === undefined) return;
  if (before.readOnly === readOnly && words(before) === words({ mountOptions })) return;
  const { volumeName } = present;
  const detail = `volume "${volumeName}" is staged on ${id} already, with other words: unstage it`;
  throw apiError('exists', detail, { volume: volumeName });
}

/** What is shown somewhere is taken away there first, by those who asked for it. */
export function requireUnpublished(present: Attachment, consumerId: string | null): void {
  if (present.phase !== 'attached') return;
  const paths = present.published
    .filter(({ stagingPath }) => stagingPath === consumerId)
    .map(({ targetPath }) => targetPath);
  if (paths.length === 0) return;
  const { volumeName } = present;
  throw apiError(
    'inUse',
    `volume "${volumeName}" is still published on ${paths.join(', ')}: unpublish it there first`,
    { volume: volumeName, holder: paths.join(', ') },
  );
}
