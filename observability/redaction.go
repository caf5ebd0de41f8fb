package observability

import (
	"net/url"
	"slices"
	"strings"
)

const redacted = "REDACTED"

// secretKeys are the query parameters, in lower case, whose values are not shown.
// The first seven are those of the semantic conventions, signatures of object
// stores; the others are common names of credentials.
var secretKeys = []string{
	"x-amz-signature", "x-amz-credential", "x-amz-security-token", "awsaccesskeyid",
	"signature", "sig", "x-goog-signature",
	"access_key", "access_token", "api-key", "api_key", "apikey", "auth", "auth_token",
	"authorization", "client_assertion", "client_secret", "code", "id_token", "jwt", "key",
	"passwd", "password", "private_token", "pwd", "refresh_token", "secret", "session",
	"sessionid", "session_id", "token", "x-api-key", "x-goog-credential",
}

// redactedURL returns u without credentials: userinfo and the values of
// secretKeys become REDACTED, a fragment is left out.
func redactedURL(u *url.URL) string {
	if u.Opaque != "" { // anything may stand there
		return (&url.URL{Scheme: u.Scheme, Host: u.Host, Path: "/" + redacted}).String()
	}
	shown := *u
	if u.User != nil {
		shown.User = url.UserPassword(redacted, redacted)
	}
	shown.RawQuery = redactedQuery(u.RawQuery)
	shown.Fragment, shown.RawFragment = "", ""
	return shown.String()
}

func redactedQuery(query string) string {
	if query == "" {
		return ""
	}
	var b strings.Builder
	for {
		// Some servers take a semicolon for an ampersand.
		i := strings.IndexAny(query, "&;")
		pair := query
		if i >= 0 {
			pair = query[:i]
		}
		if key, _, ok := strings.Cut(pair, "="); ok && isSecret(key) {
			b.WriteString(key)
			b.WriteString("=" + redacted)
		} else {
			b.WriteString(pair)
		}
		if i < 0 {
			return b.String()
		}
		b.WriteByte(query[i])
		query = query[i+1:]
	}
}

// isSecret reports whether the escaped key is secret. One that cannot be read
// might be.
func isSecret(key string) bool {
	plain, err := url.QueryUnescape(key)
	return err != nil || slices.Contains(secretKeys, strings.ToLower(plain))
}
