export type { Identity, IdentityOptions } from './identity.ts';
export { LogicalUnit, type LogicalUnitOptions } from './logical-unit.ts';
export { Nexus, UNIT_ATTENTION, type UnitAttention } from './nexus.ts';
export { ScsiTask, TASK_ATTRIBUTE } from './scsi-task.ts';
export { encodeSense, SENSE, type Sense, type SenseFormat } from './sense.ts';
export { STATUS, type Status } from './status.ts';
