/** What a reading of a whole journal found wrong with it. */

export interface Damage {
  /** A table; `file` for a file's structure, `count` for the count file beside it. */
  table: string;
  /** The row's number or name in that table; `null` where it is not one row. */
  row: string | null;
  problem: string;
  /** What follows from it. */
  meaning: string;
}

export interface Verification {
  /** What was read. */
  checked: { exceptions: number; totals: number; records: number; deadLetters: number };
  /** The first `damagesMax`. */
  damages: Damage[];
  damageCount: number;
}

/** All that is listed: who sees so many does not mend them one by one. */
const damagesMax = 1_000;

export function newVerification(): Verification & { tell(damage: Damage): void } {
  return {
    checked: { exceptions: 0, totals: 0, records: 0, deadLetters: 0 },
    damages: [],
    damageCount: 0,
    tell(damage) {
      this.damageCount += 1;
      if (this.damages.length < damagesMax) this.damages.push(damage);
    },
  };
}
