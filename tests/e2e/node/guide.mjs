// The guide's Node.js snippet, whole and streamed, and what the client makes of a refusal.
import OpenAI from 'openai';

const client = new OpenAI({ apiKey: process.env.KEY, baseURL: process.env.BASE_URL });

const response = await client.chat.completions.create({
  model: 'gpt-4',
  messages: [{ role: 'user', content: 'Hello!' }],
});
const words = [];
const stream = await client.chat.completions.create({
  model: 'gpt-4',
  messages: [{ role: 'user', content: 'Count to 5' }],
  stream: true,
});
for await (const chunk of stream) words.push(chunk.choices[0].delta.content ?? '');

let refused = null;
try {
  await client.chat.completions.create({ model: 'gpt-99', messages: [{ role: 'user', content: 'Hello' }] });
} catch (error) {
  refused = { status: error.status, name: error.constructor.name, requestID: error.requestID };
}
console.log(JSON.stringify({ whole: response.choices[0].message.content, streamed: words.join(''), refused }));
