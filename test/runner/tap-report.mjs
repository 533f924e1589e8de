// Reads tap's output (https://testanything.org/tap-version-14-specification.html): counts the leaves of the
// test tree and prints one line per test file, and every failure in full.
import { createInterface } from 'node:readline';

const POINT = /^(not )?ok\b(?: +\d+)?(?: +- +)?(.*)$/;
const DIRECTIVE = / # ((?:skip|todo)\b.*)$/i;
const TIME = / # time=([\d.]+)ms/;
const SILENT = /^(TAP version \d+|\d+\.\.\d+.*|#.*|)$/;

export function tapReport(print) {
  let passed = 0;
  let failed = 0;
  let files = 0;
  /** Open subtests, outermost first; the outermost are the test files. */
  const open = [];
  let details;
  let showDetails = false;

  return {
    get passed() {
      return passed;
    },
    get failed() {
      return failed;
    },
    get files() {
      return files;
    },
    fail,
    async read(stream) {
      for await (const line of createInterface({ input: stream })) readLine(line);
    },
  };

  /** A failure of the run rather than of a test. */
  function fail(reason) {
    failed += 1;
    print(`\nFAIL  ${reason}`);
  }

  function readLine(line) {
    if (details) return readDetails(line);
    const text = line.trim();
    const indent = line.length - line.trimStart().length;
    const point = POINT.exec(text);
    if (point) {
      readPoint(indent, point);
    } else if (text.startsWith('# Subtest: ')) {
      open.push({ indent, name: text.slice('# Subtest: '.length), passed: 0, failed: 0 });
    } else if (text === '---') {
      details = { indent, end: `${' '.repeat(indent)}...` };
    } else if (text.startsWith('Bail out!')) {
      fail(text);
    } else if (!SILENT.test(text)) {
      print(line);
    }
  }

  function readPoint(indent, [, not, rest]) {
    const point = {
      ok: !not,
      name: rest.replace(DIRECTIVE, '').replace(TIME, '').trim(),
      time: TIME.exec(rest)?.[1],
      directive: DIRECTIVE.exec(rest)?.[1],
    };
    showDetails = false;
    // A test process that dies leaves its inner subtests without a closing line.
    while (open.at(-1)?.indent > indent) leaveSubtest();
    if (open.at(-1)?.indent === indent) closeSubtest(point);
    else countLeaf(point);
  }

  function closeSubtest(point) {
    const subtest = leaveSubtest();
    const ownFailure = !point.ok && subtest.failed === 0;
    if (point.directive || ownFailure) countLeaf(point, subtest);
    else if (subtest.passed + subtest.failed === 0) {
      // An empty test proves nothing, whatever its name promises.
      countLeaf({ ...point, directive: 'no assertion' }, subtest);
    }
    if (subtest.indent === 0) endFile(point, subtest);
  }

  function leaveSubtest() {
    const subtest = open.pop();
    const parent = open.at(-1);
    if (parent) {
      parent.passed += subtest.passed;
      parent.failed += subtest.failed;
    }
    return subtest;
  }

  function countLeaf({ ok, name, directive }, closed) {
    const good = ok && directive === undefined;
    if (good) passed += 1;
    else failed += 1;
    for (const subtest of [open.at(-1), closed]) {
      if (subtest) subtest[good ? 'passed' : 'failed'] += 1;
    }
    if (good) return;
    showDetails = true;
    const path = [...open.map((subtest) => subtest.name), name].join(' > ');
    print(`\nFAIL  ${path}${directive ? `  (${directive})` : ''}`);
  }

  function endFile({ time = '?' }, { name, passed: good, failed: bad }) {
    files += 1;
    const count = String(good + bad).padStart(5);
    print(`${bad === 0 ? 'ok  ' : 'FAIL'} ${count} ${time.split('.')[0].padStart(6)} ms  ${name}`);
  }

  function readDetails(line) {
    if (line === details.end) details = undefined;
    else if (showDetails) print(`      ${line.slice(details.indent)}`);
  }
}
