/** What the journal's loop and pgbench store alike. */
import type { ExceptionLabels } from '../../src/callback/exception.ts';

export const benchLabels: ExceptionLabels[] = ['Android', 'iOS', 'Web', 'Windows'].flatMap(platform =>
  ['10017', '10023'].map(error_code => ({
    sdk_app_id: '1400000001',
    error_code,
    error_category: error_code === '10017' ? 'muted' : 'rate_limited',
    group_type: 'Public',
    platform,
    initiator: 'user',
  })),
);

/** As long as a usual one. */
export const benchRecord = `["${'record of an exception '.repeat(18)}"]`;
