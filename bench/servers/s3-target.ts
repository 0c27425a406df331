import { S3Client } from "@aws-sdk/client-s3";

/** The bucket that a server stores in. */
export interface S3Target {
  readonly endpoint: string;
  readonly region: string;
  readonly bucket: string;
  readonly accessKey: string;
  readonly secretKey: string;
}

/** The target that the parent process passed as an argument. */
export function targetOfArguments(): S3Target {
  return JSON.parse(process.argv[3] ?? "{}") as S3Target;
}

/** A client of the AWS SDK with its defaults, including its checksums. */
export function awsClient({ endpoint, region, accessKey, secretKey }: S3Target): S3Client {
  return new S3Client({
    endpoint,
    region,
    credentials: { accessKeyId: accessKey, secretAccessKey: secretKey },
    forcePathStyle: true,
  });
}
