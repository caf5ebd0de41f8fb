package tidegate

import (
	"bytes"
	"context"
	"errors"
	"os"
	"time"
)

// DefaultWatchInterval is how often [Manager.Watch] looks at the file.
const DefaultWatchInterval = 5 * time.Second

// Watch applies the configuration file at path now, and again whenever what it says has
// changed, until ctx ends. It looks at the file every interval (zero means
// DefaultWatchInterval), so it sees files that are replaced and links that are turned, as
// those of a Kubernetes ConfigMap are. What a file says that has changed counts if it says so
// still a tenth of the interval later: it could be just half written. Watch reads the
// environment each time that it applies a file, as [LoadConfig] does.
//
// told, if it is not nil, hears of each attempt: nil, or the error of LoadConfig or
// [Manager.Apply]. With an error the Manager goes on as it is, until the file says something
// else; of a file that cannot be read told hears once. It is called on the goroutine of Watch.
//
// Watch returns the cause of the end of ctx, or the error of a closed Manager. Run it on a
// goroutine of its own:
//
//	go manager.Watch(ctx, "tidegate.yaml", 0, func(err error) { ... })
func (m *Manager) Watch(ctx context.Context, path string, interval time.Duration, told func(error)) error {
	if interval <= 0 {
		interval = DefaultWatchInterval
	}
	timer := time.NewTimer(interval)
	defer timer.Stop()
	var seen, fresh []byte
	const unknown, unreadable, known = 0, 1, 2
	file := unknown
	for {
		text, err := loadText(path)
		wait := interval
		switch {
		case m.isClosed():
			return errClosed
		case err != nil && file == unreadable, err == nil && file == known && bytes.Equal(text, seen):
			fresh = nil
		case err == nil && file != unknown && (fresh == nil || !bytes.Equal(text, fresh)):
			fresh, wait = text, max(interval/10, 1)
		default:
			fresh = nil
			if err != nil {
				file = unreadable
			} else {
				file, seen, err = known, text, m.applyText(path, text)
			}
			switch {
			case m.isClosed():
				return errClosed
			case errors.Is(err, errApplying): // the next interval will do
				file = unknown
			case told != nil:
				told(err)
			}
		}
		timer.Reset(wait)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-timer.C:
		}
	}
}

func (m *Manager) applyText(path string, text []byte) error {
	config, err := ParseConfig(path, text, os.LookupEnv)
	if err != nil {
		return err
	}
	return m.Apply(config)
}
