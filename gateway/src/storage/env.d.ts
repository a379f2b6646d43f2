/** Secrets that a gateway may do without are not in wrangler.toml, whose `[secrets] required` would ask for them at every deploy. */
declare namespace Cloudflare {
	interface Env {
		/** With STORAGE = "s3" or RESULT_UPLOAD = "direct". */
		S3_SECRET_ACCESS_KEY?: string;
	}
}
