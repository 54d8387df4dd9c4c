/**
 * Leaves out prom-client's metrics of the process. Each set of them starts monitors that nothing stops again, and a
 * simulation starts thousands. To be imported before all that imports prom-client, whose exports are read but once.
 */
import { createRequire } from 'node:module';

createRequire(import.meta.url)('prom-client').collectDefaultMetrics = () => {};
