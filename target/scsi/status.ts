/** SCSI status codes (SAM-5 §5.3.1), but for those that are obsolete. */
export const STATUS = {
  good: 0x00,
  checkCondition: 0x02,
  conditionMet: 0x04,
  busy: 0x08,
  reservationConflict: 0x18,
  taskSetFull: 0x28,
  taskAborted: 0x40,
} as const;

export type Status = (typeof STATUS)[keyof typeof STATUS];
