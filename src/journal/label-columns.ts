/** The labels of an exception as columns of a table: the same in every engine. */
import { crc32 } from 'node:zlib';
import type { ExceptionLabels } from '../callback/exception.ts';

export const labelColumns = [
  'sdk_app_id',
  'error_code',
  'error_category',
  'group_type',
  'platform',
  'initiator',
] as const satisfies readonly (keyof ExceptionLabels)[];

/** Of a row that has all of them. */
export function labelsOf(row: Record<string, unknown>): ExceptionLabels {
  return Object.fromEntries(labelColumns.map(name => [name, row[name]])) as unknown as ExceptionLabels;
}

/** One text for each label set. Label values come from closed or capped sets; none holds a line feed. */
export function labelsKey(labels: ExceptionLabels): string {
  return labelColumns.map(name => labels[name]).join('\n');
}

export function crcOfLabels(labels: ExceptionLabels): number {
  return crc32(labelsKey(labels));
}
