// Line coverage of src, plugins and routes, from tap's JSON summary.
import { existsSync, readFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { filesBelow } from './build.mjs';

const COVERED_DIRS = ['src', 'plugins', 'routes'];
const WORST_SHOWN = 12;

export function readCoverage(root) {
  const measured = measuredFiles(root);
  const files = COVERED_DIRS.flatMap((dir) => filesBelow(join(root, dir)))
    .filter((file) => file.endsWith('.ts'))
    // What runs in the browsers of the tests is not measured.
    .filter((file) => measured.has(file) || !relative(root, file).startsWith('src/pages'))
    .map((file) => measured.get(file) ?? neverLoaded(root, file))
    .filter((file) => file.total > 0);
  const total = sum(files, 'total');
  const covered = sum(files, 'covered');
  const percent = total === 0 ? 100 : (100 * covered) / total;
  const worst = files
    .filter((file) => file.covered < file.total)
    .sort((a, b) => b.total - b.covered - (a.total - a.covered))
    .slice(0, WORST_SHOWN)
    .map(
      ({ name, total, covered }) =>
        `${String(total - covered).padStart(7)} lines not run  ${relative(root, name)}`,
    );
  const summary = [`Lines covered: ${covered} of ${total} (${percent.toFixed(1)} %)`, ...worst].join('\n');
  return { percent, summary };
}

function measuredFiles(root) {
  const report = join(root, '.tap/report/coverage-summary.json');
  if (!existsSync(report)) return new Map();
  const { total: _, ...files } = JSON.parse(readFileSync(report, 'utf8'));
  const rows = Object.entries(files).map(([name, { lines }]) => ({ name, ...lines }));
  return new Map(rows.map((row) => [row.name, row]));
}

/** A file no test loads is missing from the report; all its lines count, unless it holds types only. */
function neverLoaded(root, name) {
  const output = join(root, '.build', relative(root, name).replace(/\.ts$/, '.js'));
  const code = readFileSync(output, 'utf8').replace(/^\/\/# sourceMappingURL.*$/m, '');
  const typesOnly = code.trim() === 'export {};';
  return { name, total: typesOnly ? 0 : readFileSync(name, 'utf8').split('\n').length, covered: 0 };
}

function sum(items, key) {
  return items.reduce((all, item) => all + item[key], 0);
}
