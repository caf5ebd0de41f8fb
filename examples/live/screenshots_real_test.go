//go:build real

package main

import (
	"bytes"
	"context"
	"flag"
	"image/png"
	"os"
	"path/filepath"
	"testing"
	"time"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/chromedp"

	"github.com/tidegate-go/tidegate/internal/pinned"
	"github.com/tidegate-go/tidegate/observability"
)

var (
	screenshots = flag.String("screenshots", "", "folder to keep the pictures of the page in")
	after       = flag.Duration("after", 3*time.Second, "how long the services are simulated before pictures are taken")
)

// maxPicture is how many bytes a picture may have, so that the repository stays small.
const maxPicture = 250 << 10

// The pictures of the README are made by this test: make screenshots.
func TestRealPageScreenshots(t *testing.T) {
	pinned.Program(t, "chromium") // before all that takes long
	folder := *screenshots
	if folder == "" {
		folder = t.TempDir()
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	// Traces that are sampled have links, though nobody keeps these.
	tracers := sdktrace.NewTracerProvider()
	site, err := newSite(ctx, options{services: len(dozen), control: true, traceLink: observability.DefaultTraceLink}, tracers)
	if err != nil {
		t.Fatal(err)
	}
	defer site.close()
	done := make(chan struct{})
	go func() {
		defer close(done)
		site.world.run(ctx)
	}()
	defer func() { cancel(); <-done }()
	sleep(ctx, *after)

	b := openTab(t, 1280, 1000)
	origin := serve(t, site.handler)
	keep := func(name string, action chromedp.Action[[]byte]) {
		t.Helper()
		sleep(t.Context(), time.Second) // for what moves; nothing depends on it
		ctx, cancel := context.WithTimeout(b.ctx, patience)
		defer cancel()
		picture, err := chromedp.Run(ctx, action)
		if err != nil {
			t.Fatal(err)
		}
		img, err := png.Decode(bytes.NewReader(picture))
		if err != nil {
			t.Fatal(err)
		}
		var small bytes.Buffer
		encoder := png.Encoder{CompressionLevel: png.BestCompression}
		if err := encoder.Encode(&small, img); err != nil {
			t.Fatal(err)
		}
		if small.Len() > maxPicture || img.Bounds().Dx() < 300 {
			t.Errorf("%s has %d bytes and is %d pixels wide", name, small.Len(), img.Bounds().Dx())
		}
		if err := os.WriteFile(filepath.Join(folder, name), small.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}

	b.scheme("light")
	b.open(origin + "/tidegate/")
	b.wait(`document.querySelectorAll("#lines li").length > 10`)
	keep("page-light.png", chromedp.CaptureScreenshot())

	// A call that was repeated and came to a good end.
	b.wait(`(() => {
		const spans = (l) => Number(/(\d+) spans/.exec(l.textContent)?.[1] ?? 0);
		const repeated = (l) => /^(registry|billing|mail|minio|git|geo)/.test(l.querySelector(".title").textContent) && spans(l) > 2;
		const line = [...document.querySelectorAll("#lines li")].find((l) => repeated(l) && !l.textContent.includes("error"));
		if (line) {
			document.getElementById("pause").click();
			line.querySelector("button").click();
		}
		return Boolean(line);
	})()`)
	b.wait(`document.querySelector("#lines [aria-current] .title")?.textContent === document.querySelector("#fall h3")?.textContent`)
	place := value[page.Viewport](b, `(() => {
		document.querySelector("#fall .span:nth-child(2) button").click();
		const r = document.getElementById("traces-panel").getBoundingClientRect();
		return { x: r.x, y: r.y + scrollY, width: r.width, height: r.height, scale: 1 };
	})()`)
	keep("page-waterfall.png", func(ctx context.Context, _ *chromedp.Target) ([]byte, error) {
		picture, err := chromedp.Call(ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{Clip: &place, CaptureBeyondViewport: new(true)})
		return picture.Data, err
	})

	b.scheme("dark")
	b.do(chromedp.Navigate("about:blank")) // or the page would stay as it is, and paused
	b.open(origin + "/tidegate/#service=billing")
	b.wait(`document.querySelectorAll("#sheet-chain .layer").length > 2`)
	keep("page-dark.png", chromedp.CaptureScreenshot())

	b.scheme("light")
	b.size(390, 844)
	b.open(origin + "/tidegate/")
	b.wait(`document.querySelectorAll("#tiles .tile").length > 10`)
	keep("page-phone.png", chromedp.CaptureScreenshot())
}
