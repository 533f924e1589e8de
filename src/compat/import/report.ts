/** What became of a file. It holds no value of a row but its primary key. */
export interface ImportReport {
  dry_run: boolean;
  users: { read: number; imported: number; already_there: number; skipped: number };
  roles_added: string[];
  revoked_tokens: { imported: number; expired: number };
  api_keys: { imported: number; skipped: number };
  /** Accounts that are not in every respect what they were. */
  notes: { what: string; count: number; examples: string[] }[];
  /** Rows that were skipped. */
  faults: Fault[];
}

export interface Fault {
  model: string;
  /** Its primary key, or where in the file it begins (`byte 123`). */
  row: string;
  problem: string;
}

const EXAMPLES = 5;

export function createReport(dryRun: boolean) {
  const report: ImportReport = {
    dry_run: dryRun,
    users: { read: 0, imported: 0, already_there: 0, skipped: 0 },
    roles_added: [],
    revoked_tokens: { imported: 0, expired: 0 },
    api_keys: { imported: 0, skipped: 0 },
    notes: [],
    faults: [],
  };
  const notes = new Map<string, ImportReport['notes'][number]>();

  return {
    report,
    fault: (fault: Fault) => report.faults.push(fault),
    note(what: string, row: string) {
      let note = notes.get(what);
      if (!note) {
        note = { what, count: 0, examples: [] };
        notes.set(what, note);
        report.notes.push(note);
      }
      note.count += 1;
      if (note.examples.length < EXAMPLES) note.examples.push(row);
    },
  };
}

/** A primary key, for a report: whatever the file holds there must not drive a terminal. */
export const showKey = (pk: unknown): string =>
  (JSON.stringify(pk) ?? 'none').replace(/[^\x20-\x7e]/g, '?').slice(0, 64);
