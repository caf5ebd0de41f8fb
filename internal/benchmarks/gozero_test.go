package benchmarks

import (
	"context"
	"testing"

	"github.com/zeromicro/go-zero/core/breaker"
	"github.com/zeromicro/go-zero/core/logx"
	"github.com/zeromicro/go-zero/core/stat"
)

// TestMain makes it quiet: it would report rejections, and once a minute its own
// use of CPU and memory.
func TestMain(m *testing.M) {
	logx.Disable()
	stat.DisableLog()
	stat.SetReporter(nil)
	m.Run()
}

// It is never open: it rejects calls at random, the more the more of them fail.
// There are no settings. Its window is ten seconds, in forty buckets.
func gozeroBreaker(w workload) call {
	if w.mode != rolling || w.failEvery == 1 {
		return nil
	}
	b := breaker.NewBreaker()
	return func(_ context.Context, fails bool) error {
		if fails {
			return b.Do(failAlone)
		}
		return b.Do(succeedAlone)
	}
}
