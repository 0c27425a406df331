import { type ChangeEvent, useEffect, useState } from "react";
import { createClient, createUploadQueue } from "fixity/client";
import { type QueuedUpload, useUploads } from "fixity/react";

// outside of the component: uploads continue when it is unmounted
const queue = createUploadQueue(createClient({ endpoint: "/uploads" }));

export function Uploads() {
  const { uploads, add, pause, resume, retry, cancel, remove } = useUploads(queue);
  const choose = ({ target }: ChangeEvent<HTMLInputElement>) => {
    add(target.files ?? []);
    target.value = "";
  };
  return (
    <main>
      <h1>Uploads</h1>
      <input type="file" multiple aria-label="Files" onChange={choose} />
      <ul>
        {uploads.map((upload) => (
          <li key={upload.id}>
            <span>{upload.name ?? "a file"}</span> <State upload={upload} />{" "}
            {(upload.status === "queued" || upload.status === "running") && (
              <button onClick={() => pause(upload.id)}>Pause</button>
            )}
            {upload.status === "paused" && <button onClick={() => resume(upload.id)}>Resume</button>}
            {upload.status === "failed" && <button onClick={() => retry(upload.id)}>Retry</button>}
            {["queued", "running", "paused"].includes(upload.status) ? (
              <button onClick={() => cancel(upload.id)}>Cancel</button>
            ) : (
              <button onClick={() => remove(upload.id)}>Remove</button>
            )}
          </li>
        ))}
      </ul>
    </main>
  );
}

function State({ upload: { status, progress, result, error } }: { upload: QueuedUpload }) {
  if (result !== null) return <a href={result.url}>{result.existed ? "stored already" : "stored"}</a>;
  if (error !== null) return <strong>{error.message}</strong>;
  if (status !== "running" || progress === null) return <em>{status}</em>;
  if (progress.wait !== null) return <Waiting until={progress.wait.until} />;
  return <progress value={progress.bytes} max={progress.total ?? undefined} aria-label={progress.phase} />;
}

/** Counts down to the next attempt. */
function Waiting({ until }: { until: number | null }) {
  const [now, setNow] = useState(Date.now);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, []);
  const seconds = until === null ? null : Math.max(0, Math.ceil((until - now) / 1000));
  return <em>No connection.{seconds !== null && ` Trying again in ${seconds} s`}</em>;
}
