import { InvalidFields } from './wording.js';

/** As much of a JSON schema as bodies of the old systems need: text fields, of which some are required. */
export interface TextFields {
  properties: Readonly<Record<string, object>>;
  required?: readonly string[];
}

interface TextRules {
  minLength?: number;
  maxLength?: number;
}

/**
 * Reads a body as a serializer of Django REST Framework's `CharField`s does: what surrounds a text is trimmed, numbers
 * are texts, unknown fields are passed over, and every field at fault is named at once, in DRF's words. A field that
 * may not be blank has a `minLength`.
 * @throws InvalidFields
 */
export function readFields({ properties, required = [] }: TextFields, body: unknown): Record<string, string> {
  if (body === null) throw new InvalidFields({ non_field_errors: ['No data provided'] });
  if (typeof body !== 'object' || Array.isArray(body)) {
    const problem = `Invalid data. Expected a dictionary, but got ${nameOfType(body)}.`;
    throw new InvalidFields({ non_field_errors: [problem] });
  }
  const texts: Record<string, string> = {};
  const faults: Record<string, string[]> = {};
  for (const [name, rules] of Object.entries(properties)) {
    const sent = Object.hasOwn(body, name) ? (body as Record<string, unknown>)[name] : undefined;
    if (sent === undefined) {
      if (required.includes(name)) faults[name] = ['This field is required.'];
      continue;
    }
    const text = readText(sent);
    const problems = text === undefined ? [describeNoText(sent)] : judge(text, rules as TextRules);
    if (problems.length > 0) faults[name] = problems;
    else texts[name] = text as string;
  }
  if (Object.keys(faults).length > 0) throw new InvalidFields(faults);
  return texts;
}

function readText(value: unknown): string | undefined {
  return typeof value === 'string' || typeof value === 'number' ? String(value).trim() : undefined;
}

const describeNoText = (value: unknown): string =>
  value === null ? 'This field may not be null.' : 'Not a valid string.';

function judge(text: string, { minLength = 0, maxLength }: TextRules): string[] {
  if (text === '') return minLength > 0 ? ['This field may not be blank.'] : [];
  const problems: string[] = [];
  if (maxLength !== undefined && [...text].length > maxLength) {
    problems.push(`Ensure this field has no more than ${maxLength} characters.`);
  }
  if (text.includes('\0')) problems.push('Null characters are not allowed.');
  const surrogate = /\p{Surrogate}/u.exec(text)?.[0];
  if (surrogate !== undefined) {
    const point = surrogate.charCodeAt(0).toString(16).toUpperCase();
    problems.push(`Surrogate characters are not allowed: U+${point}.`);
  }
  return problems;
}

/** In Python. */
function nameOfType(value: unknown): string {
  if (Array.isArray(value)) return 'list';
  if (typeof value === 'string') return 'str';
  if (typeof value === 'boolean') return 'bool';
  return Number.isInteger(value) ? 'int' : 'float';
}
