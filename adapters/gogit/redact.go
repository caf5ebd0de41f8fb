package gogit

import (
	"cmp"
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
)

const (
	mark    = "***"   // stands where a secret stood
	maxText = 4 << 10 // bytes of the text of an error
)

// cleaned is an error with another text.
type cleaned struct {
	error
	text string
}

func (c *cleaned) Error() string { return c.text }
func (c *cleaned) Unwrap() error { return c.error }

// clean returns err itself unless its text shows one of the secrets or the login
// of a URL, has characters that could change how it is shown, or is very long:
// go-git pastes what a web server answers into it.
func clean(err error, secrets []string) error {
	if err == nil {
		return nil
	}
	text := textOf(err)
	tidy := printable(text)
	for _, secret := range forms(secrets) {
		tidy = strings.ReplaceAll(tidy, secret, mark)
	}
	tidy = login.ReplaceAllString(tidy, "://"+mark+"@")
	if len(tidy) > maxText {
		end := maxText
		for !utf8.RuneStart(tidy[end]) {
			end--
		}
		tidy = tidy[:end] + " ..."
	}
	if tidy == text {
		return err
	}
	return &cleaned{err, tidy}
}

// login is a user name and a password in a URL. A lone user name, as in
// ssh://git@host, stays.
var login = regexp.MustCompile(`://[^\s/:@]*:[^\s/]*@`)

// printable returns s without what could change how it is shown.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r == '\n' || r == '\t' || unicode.IsPrint(r) {
			return r
		}
		return -1
	}, strings.ToValidUTF8(s, ""))
}

// forms returns the secrets as they may stand in a text, the longest first: one
// may be a part of another.
func forms(secrets []string) []string {
	var all []string
	for _, s := range secrets {
		all = append(all, s, printable(s), url.QueryEscape(s), url.PathEscape(s), url.UserPassword("", s).String()[1:])
	}
	slices.SortFunc(all, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	return slices.DeleteFunc(slices.Compact(all), func(s string) bool { return s == "" })
}

// textOf is the text of err. Unlike err.Error it does not panic when err is a nil
// pointer.
func textOf(err error) string { return fmt.Sprint(err) }

// secretsOf returns what must not be shown of the ways to log in.
func secretsOf(auth transport.AuthMethod) []string {
	switch a := auth.(type) {
	case *urlAuth:
		return secretsOf(&a.BasicAuth)
	case *githttp.BasicAuth:
		if a == nil {
			return nil
		}
		header := base64.StdEncoding.EncodeToString([]byte(a.Username + ":" + a.Password))
		if a.Password == "" || a.Password == "x-oauth-basic" {
			return []string{a.Username, header} // a token
		}
		return []string{a.Password, header}
	case *githttp.TokenAuth:
		if a == nil {
			return nil
		}
		return []string{a.Token}
	case *gitssh.Password:
		if a == nil {
			return nil
		}
		return []string{a.Password}
	}
	return nil
}

// ended is the error of a call whose context has ended, when go-git's own does
// not say so.
type ended struct {
	err   error // of go-git
	cause error // of the context
	ctx   error
}

func (e *ended) Error() string {
	if errors.Is(e.cause, e.ctx) {
		return e.cause.Error() + ": " + textOf(e.err)
	}
	return e.ctx.Error() + ": " + e.cause.Error() + ": " + textOf(e.err)
}

func (e *ended) Unwrap() []error { return []error{e.ctx, e.cause, e.err} }

// settle returns the error of a call that had the context ctx, so that errors.Is
// finds the end of the context and its cause.
func settle(ctx context.Context, err error) error {
	if err == nil || ctx.Err() == nil {
		return err
	}
	cause := context.Cause(ctx)
	if errors.Is(err, ctx.Err()) && errors.Is(err, cause) {
		return err
	}
	return &ended{err: err, cause: cause, ctx: ctx.Err()}
}
