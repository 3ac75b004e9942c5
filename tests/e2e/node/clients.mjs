// OpenAI's own client and the Vercel AI SDK, at the doors of chat, responses and embeddings; prints what they made of it.
import { createOpenAI } from '@ai-sdk/openai';
import { embed, generateText, Output, stepCountIs, streamText, tool } from 'ai';
import OpenAI from 'openai';
import { z } from 'zod';

const { KEY, BASE_URL, MODEL, EMBEDDER } = process.env;
const PIXEL = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg==';
const tide = z.object({ height: z.number() });

async function official() {
  const client = new OpenAI({ apiKey: KEY, baseURL: BASE_URL, maxRetries: 0 });
  const parameters = { type: 'object', properties: { place: { type: 'string' } } };
  const asked = [{ role: 'user', content: 'Use read_tide.' }];
  const tools = [{ type: 'function', function: { name: 'read_tide', parameters } }];
  const first = await client.chat.completions.create({ model: MODEL, messages: asked, tools });
  const [call] = first.choices[0].message.tool_calls;
  const result = { role: 'tool', tool_call_id: call.id, content: '2 m' };
  const second = await client.chat.completions.create({
    model: MODEL,
    messages: [...asked, first.choices[0].message, result],
    tools,
  });
  const kinds = [];
  const stream = client.responses.stream({ model: MODEL, input: 'Count to 5' });
  for await (const event of stream) kinds.push(event.type);
  const streamed = await stream.finalResponse();
  const next = await client.responses.create({ model: MODEL, input: 'Count to 3', previous_response_id: streamed.id });
  const vectors = await client.embeddings.create({ model: EMBEDDER, input: ['tide', 'wind'] });
  return {
    called: call.function.name,
    answered: second.choices[0].message.content.length > 0,
    streamed: streamed.output_text,
    ends: [kinds[0], kinds.at(-1)],
    next: next.output_text,
    vectors: vectors.data.map((one) => one.embedding.length > 0),
  };
}

async function vercel(model) {
  const read_tide = tool({ description: 'A tide.', inputSchema: z.object({ place: z.string() }), execute: () => '2 m' });
  const said = await generateText({ model, prompt: 'Say hello!', maxRetries: 0 });
  const stream = streamText({ model, prompt: 'Count to 5', maxRetries: 0 });
  const streamed = await stream.text;
  const usage = await stream.usage;
  const worked = await generateText({
    model,
    prompt: 'Use read_tide.',
    tools: { read_tide },
    stopWhen: stepCountIs(3),
    maxRetries: 0,
  });
  const object = await generateText({
    model,
    prompt: 'How high?',
    output: Output.object({ schema: tide }),
    maxRetries: 0,
  });
  const seen = await generateText({
    model,
    messages: [{ role: 'user', content: [{ type: 'text', text: 'Count to 2' }, { type: 'image', image: PIXEL }] }],
    maxRetries: 0,
  });
  return {
    said: said.text,
    streamed,
    counted: usage.totalTokens > 0,
    steps: worked.steps.map((step) => step.finishReason),
    height: typeof object.output.height,
    seen: seen.text,
  };
}

async function refused(model, prompt, maxRetries) {
  try {
    await generateText({ model, prompt, maxRetries });
  } catch (error) {
    const last = error.lastError ?? error;
    return { status: last.statusCode, tries: error.errors?.length ?? 1 };
  }
  return null;
}

const provider = createOpenAI({ apiKey: KEY, baseURL: BASE_URL });
console.log(
  JSON.stringify({
    official: await official(),
    responses: await vercel(provider(MODEL)),
    chat: await vercel(provider.chat(MODEL)),
    vector: (await embed({ model: provider.embedding(EMBEDDER), value: 'tide' })).embedding.length > 0,
    unknown: await refused(provider('gpt-99'), 'Hi', 2),
    broken: await refused(provider(MODEL), '[[simulate status=503]]', 1),
  }),
);
