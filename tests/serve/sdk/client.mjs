// What clients of OpenAI's Videos API do, by its SDK for Node: prints what went well.
import assert from "node:assert";
import { readFileSync } from "node:fs";
import OpenAI, { toFile } from "openai";

const [url, picture] = process.argv.slice(2);
const client = new OpenAI({ baseURL: `${url}/v1`, apiKey: "any" });
const file = () => toFile(readFileSync(picture), "picture.png", { type: "image/png" });

const poll = async (id) => {
  for (;;) {
    const { data: video, response } = await client.videos.retrieve(id).withResponse();
    if (!["queued", "in_progress"].includes(video.status)) return video;
    await new Promise((resolve) => setTimeout(resolve, Number(response.headers.get("openai-poll-after-ms"))));
  }
};
const done = async (fields) => poll((await client.videos.create(fields)).id);

const made = await done({ prompt: "a red ball falls", seconds: "1", size: "96x160", steps: 1 });
assert.deepEqual([made.status, made.seconds, made.size], ["completed", "1", "96x160"]);
const small = await done({
  prompt: "a red ball falls", input_reference: await file(), size: "64x64", seconds: "1", steps: 2, seed: 1,
});
assert.equal(small.status, "completed", JSON.stringify(small.error));
const content = Buffer.from(await (await client.videos.downloadContent(small.id)).arrayBuffer());
assert.equal(content.subarray(4, 8).toString(), "ftyp");
const remix = await poll((await client.videos.remix(small.id, { prompt: "a blue ball falls" })).id);
assert.equal(remix.remixed_from_video_id, small.id);
const ids = [];
for await (const video of client.videos.list({ limit: 1 })) ids.push(video.id);
assert([made.id, small.id, remix.id].every((id) => ids.includes(id)));

const clip = () => toFile(content, "clip.mp4", { type: "video/mp4" });
for (const sent of [
  client.videos.edit({ prompt: "a green ball", video: await clip(), steps: 1 }),
  client.videos.extend({ prompt: "a green ball", video: { id: small.id }, seconds: "1", steps: 1 }),
]) {
  const video = await poll((await sent).id);
  assert.equal(video.status, "completed", JSON.stringify(video.error));
}
const person = await client.videos.createCharacter({ name: "Rosy", video: await clip() });
assert.equal((await client.videos.getCharacter(person.id)).name, "Rosy");

await assert.rejects(client.videos.create({ prompt: "a ball", size: "1x1" }), (error) => {
  assert(error instanceof OpenAI.BadRequestError && error.param === "size" && error.requestID, String(error));
  return true;
});
await assert.rejects(client.videos.retrieve("video_" + "0".repeat(32)), OpenAI.NotFoundError);
assert((await client.videos.delete(small.id)).deleted);
console.log("create retrieve poll content remix list edit extend characters errors delete");
