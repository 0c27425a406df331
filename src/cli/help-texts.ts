/* The texts below the options in the help of the commands. */

export const CLIENT_ENVIRONMENT_HELP = `

Environment:
  FIXITY_URL    URL of the service, for all of these commands
  FIXITY_TOKEN  access token; not available as a flag because other users can see command lines`;

export const PUT_EXAMPLES = `
Examples:
  fixity put photo.png                          print its link on standard output
  fixity put -r photos > links.txt              upload a folder; progress and errors go to standard error
  tar c photos | fixity put - --name photos.tar
  fixity put --json *.iso | jq -r .digest       one JSON object per file
  fixity put -- -odd-name.txt                   everything after -- is a file name

Interrupted? Run the same command again to resume.
Exit codes: 0 all files are stored, 1 some are not, 2 the command failed, 130 interrupted.`;

export const GET_EXAMPLES = `
Examples:
  fixity get https://files.example.com/uploads/08c0811b91df….png
  fixity get 08c0811b91df….tar -o - | tar x     verified only at its end: check the exit code
  fixity get 08c0811b91df….png -o photos/       into that folder, under the file's own name

The file appears under its name only after its bytes match the digest in the link.
Interrupted? Run the same command again to resume.
Exit codes: 0 fetched and verified, 1 no such file or wrong bytes, 2 the command failed, 130 interrupted.`;

export const LOGIN_HELP = `
Examples:
  fixity login https://files.example.com          asks for the token, and checks it
  fixity login files.example.com < token.txt      reads it from standard input

Several servers can be saved. put, get and stat use the latest login without --to and --from. A token
is sent to the server that it was saved for, and to no other. FIXITY_URL and FIXITY_TOKEN win.`;

export const COMPLETION_HELP = `
To load it in every shell, add a line to its startup file:
  ~/.bashrc                    source <(fixity completion bash)
  ~/.zshrc                     source <(fixity completion zsh)
  ~/.config/fish/config.fish   fixity completion fish | source`;

export const STAT_EXAMPLES = `
Examples:
  fixity stat https://files.example.com/uploads/08c0811b91df….png
  sha256sum < photo.png | cut -c-64 | xargs fixity stat      is it stored?

Exit codes: 0 all files exist, 1 some do not, 2 the command failed.`;

export const SIGN_HELP = `
Examples:
  fixity sign https://files.example.com/uploads/08c0811b91df….pdf --expires 1h
  fixity sign 08c0811b91df….pdf --expires 7d --filename "Report.pdf" --download

The time is rounded up by at most a quarter, so that links signed one after another are equal.

Environment:
  UPLOAD_LINK_KEYS, UPLOAD_LINK_KEYS_FILE  the keys of the server; the first one signs
  FIXITY_URL                               URL of the service, for a link without one`;

export const PERMIT_HELP = `
Examples:
  fixity permit --max-size 10MiB --expires 1h --url https://files.example.com
  fixity permit --max-size 1GiB --types 'image/*,application/pdf' --expires 7d --once --name partner
  fixity permit --digest sha256:08c0811b91df… --expires 1h --json

At least one of --max-size and --digest is required.

Environment:
  UPLOAD_PERMIT_KEYS, UPLOAD_PERMIT_KEYS_FILE  the keys of the server; the first one signs
  FIXITY_URL                                   URL of the service`;

export const LS_EXAMPLES = `
Examples:
  fixity ls                                     digest, bytes and time of each file, in no particular order
  fixity ls | sort -k 2n | tail                 the largest files
  fixity ls --summary --prefix 0                a sixteenth of the store

Exit codes: 0 listed, 2 the command failed, 130 interrupted.`;

export const RM_EXAMPLES = `
Examples:
  fixity rm 08c0811b91df….png                   asks first
  fixity rm --yes - < digests.txt               one digest or link per line
  fixity rm --from https://files.example.com --yes 08c0811b91df….png

With --from, the token of FIXITY_TOKEN or of the login is sent, which must have the right to remove.
Running servers may send a small file from memory for up to 10 seconds.
Exit codes: 0 all are removed, 1 some were not stored, or you said no, 2 the command failed, 130 interrupted.`;

export const COPY_EXAMPLES = `
Examples:
  fixity copy /srv/uploads s3://backup/uploads  a backup; the next run copies only what is new
  fixity copy s3://old s3://new                 with FROM_BUCKET_ENDPOINT=… TO_BUCKET_ENDPOINT=…
  fixity copy https://files.example.com/uploads . --digests list.txt

Settings of a bucket that begin with FROM_BUCKET_ or TO_BUCKET_ come before UPLOAD_BUCKET_. FROM_TOKEN and
TO_TOKEN are access tokens of services; default that of the login.
Every file is compared with its digest on its way. Interrupted? Run the same command again.
Exit codes: 0 all are copied, 1 some could not be, 2 the command failed, 130 interrupted.`;

export const BLOCK_EXAMPLES = `
Examples:
  fixity block https://files.example.com/uploads/08c0811b91df….png --reason "court order 17/2026"
  fixity block - --reason "malware, list of 1 May" < digests.txt
  fixity block --list

A blocked file is neither read nor uploaded, whether it is stored or not; running servers follow within
10 seconds. Its stored bytes stay: fixity rm removes them. Caches keep copies until they are purged.
Exit codes: 0 done, 2 the command failed, 130 interrupted; run it again then.`;

export const EVENTS_EXAMPLES = `
Examples:
  fixity events ls                   a line per event: intent, ready or dead; time, id, type, digest
  fixity events ls --json | jq 'select(.status == "dead")'
  fixity events retry --all          servers deliver the dead letters within about a minute
  fixity events rm evt_4f0c6a9be2b94c0fb1c7d1a2e1f4a5d6

retry and rm concern dead letters only: events that were given up.
Exit codes: 0 done, 2 the command failed or an id is unknown, 130 interrupted; run it again then.`;

export const IMPORT_EXAMPLES = `
Examples:
  fixity import /srv/old-uploads > links.txt    one line per file: its link, and its path
  fixity import /srv/archive --link             takes no further space; nothing may write to the files
  fixity import s3://old-bucket --json          with FROM_BUCKET_ENDPOINT=… if it is elsewhere

Files named <sha256>.<extension> must have that digest. The originals stay as they are.
Interrupted? Run the same command again.
Exit codes: 0 all are stored, 1 some are not, 2 the command failed, 130 interrupted.`;

export const VERIFY_EXAMPLES = `
Examples:
  fixity verify --rate 50MiB
  timeout 4h fixity verify --older-than 7d                  every night: what was read longest ago comes first

Interrupted? \`fixity verify --older-than 24h\` reads the rest.
Exit codes: 0 all intact, 1 some are not, 2 the command failed, 130 interrupted.`;
