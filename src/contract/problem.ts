import { type Static, Type } from 'typebox';
import { CODES } from './codes.js';

/** One refused field. */
export const FieldProblem = Type.Object(
  {
    field: Type.String({ description: 'Path of the field in the body or query.' }),
    message: Type.String({ description: 'In the language of the answer.' }),
    code: Type.String({ description: 'What is wrong with it, for programs.' }),
  },
  { additionalProperties: false },
);

/** Every failure: RFC 9457. */
export const Problem = Type.Object(
  {
    type: Type.String({ description: 'A URN that names the code.' }),
    title: Type.String(),
    status: Type.Integer(),
    detail: Type.String({ description: 'In the language of the answer (en, fa).' }),
    code: Type.Enum([...CODES]),
    request_id: Type.String({ description: 'Quote it when you ask the operator.' }),
    reason: Type.Optional(
      Type.String({ description: 'With session_ended and token_reused: why the session ended.' }),
    ),
    errors: Type.Optional(Type.Array(FieldProblem)),
    error: Type.Optional(
      Type.String({ description: 'Under /oauth: the same in the words of RFC 6749 §5.2, where it has one.' }),
    ),
  },
  { $id: 'latchkey:Problem', additionalProperties: false },
);

export type ProblemDocument = Static<typeof Problem>;
