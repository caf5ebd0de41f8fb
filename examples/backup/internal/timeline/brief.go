package timeline

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/url"
	"strings"
	"syscall"

	miniogo "github.com/minio/minio-go/v7"

	"github.com/tidegate-go/tidegate/adapters/git"
	"github.com/tidegate-go/tidegate/middleware"
)

// Brief says in a few words what an error is, without addresses.
func Brief(err error) string {
	var (
		rejection *middleware.Rejection
		repo      *git.Error
		object    miniogo.ErrorResponse
		status    interface{ StatusCode() int }
		network   *net.OpError
		request   *url.Error
	)
	switch {
	case err == nil:
		return "no error"
	case errors.As(err, &rejection) && !rejection.Timeout() && rejection.Reason != nil:
		return rejection.Reason.Error()
	case errors.Is(err, context.DeadlineExceeded):
		return "no answer in time"
	case errors.As(err, &repo):
		return briefGit(repo)
	case errors.As(err, &object) && object.StatusCode > 0:
		return fmt.Sprintf("status %d", object.StatusCode)
	case errors.As(err, &status) && status.StatusCode() > 0:
		return fmt.Sprintf("status %d", status.StatusCode())
	case errors.Is(err, syscall.ECONNREFUSED):
		return "connection refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE), errors.Is(err, net.ErrClosed),
		errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "connection cut"
	case errors.As(err, &network):
		return network.Err.Error()
	case errors.As(err, &request):
		return request.Err.Error()
	}
	text, _, _ := strings.Cut(err.Error(), "\n")
	if letters := []rune(text); len(letters) > 70 {
		text = string(letters[:67]) + "..."
	}
	return text
}

func briefGit(err *git.Error) string {
	switch {
	case err.HTTPStatus > 0:
		return fmt.Sprintf("status %d", err.HTTPStatus)
	case err.Kind == git.KindConnect:
		return "no connection"
	case err.Kind == git.KindTransfer:
		return "the transfer was cut"
	default:
		return words(string(err.Kind))
	}
}
