package main

import (
	"runtime"
	"strings"
	"testing"
)

func TestTable(t *testing.T) {
	for _, row := range []struct {
		name, in, want string
	}{
		{
			name: "libraries and CPUs",
			in: `
goos: linux
BenchmarkBreaker/closed_success/tidegate     1000  50.04 ns/op  0 B/op  0 allocs/op
BenchmarkBreaker/closed_success/tidegate-8   1000  100.4 ns/op  0 B/op  0 allocs/op
BenchmarkBreaker/closed_success/peer-go      1000  25.02 ns/op  48 B/op  1 allocs/op
BenchmarkBreaker/closed_success/peer-go-8    1000  30080 ns/op  48 B/op  12 allocs/op
BenchmarkBreaker/open/tidegate               1000  1.234 ns/op  0 B/op  0 allocs/op
BenchmarkBreaker/open/tidegate-8             1000  4321 ns/op  0 B/op  0 allocs/op
BenchmarkBreaker/open/other                  1000  4.936 ns/op  0 B/op  0 allocs/op
BenchmarkBreaker/open/other-8                1000  1.000 ns/op  0 B/op  0 allocs/op
PASS
ok  	example.com/x	2.500s
`,
			want: `
Breaker       tidegate         peer-go           other
closed success
  1 cpu        50.0  0   25.0  1 2.00x      -
  8 cpus        100  0  30080 12 <.01x      -
open
  1 cpu        1.23  0      -            4.94  0 0.25x
  8 cpus       4321  0      -            1.00  0 4321x
`,
		},
		{
			name: "the median of several runs",
			in: `
BenchmarkBreaker/tidegate  1000  300 ns/op
BenchmarkBreaker/tidegate  1000  100 ns/op
BenchmarkBreaker/tidegate  1000  900 ns/op
BenchmarkBreaker/peer      1000  100 ns/op
BenchmarkBreaker/peer      1000  140 ns/op
`,
			want: `
Breaker       tidegate            peer
  1 cpu         300       120    2.50x
`,
		},
		{
			name: "without tidegate",
			in:   "BenchmarkBreaker/open/peer-2  1000  100 ns/op  0 B/op  3 allocs/op\n",
			want: `
Breaker       tidegate            peer
open
  2 cpus          -       100  3
`,
		},
		{
			name: "what is not a time, whatever the CPUs",
			in: `
BenchmarkChain/four/tidegate             1000  100 ns/op
BenchmarkMemory/idle/tidegate            10  600.0 B/breaker
BenchmarkMemory/idle/tidegate-8          10  602.0 B/breaker
BenchmarkMemory/idle/peer                10  300.5 B/breaker
BenchmarkMemory/100_keyed/a/tidegate-8   10  700.0 B/key  70.12 MiB
`,
			want: `
Chain         tidegate
four
  1 cpu         100

Memory        tidegate            peer
idle
  B/breaker     601       300    2.00x
100 keyed/a
  B/key         700         -
  MiB          70.1         -
`,
		},
		{
			name: "what is added to the bare work, and a long name",
			in: `
BenchmarkHTTP/GET/tidegate          1  4.500 +%  17.00 +allocs  3000 +ns  43000 ns
BenchmarkHTTP/GET/bare              1  40000 ns
BenchmarkHTTP/GET/failsafehttp      1  20.00 +%  44.00 +allocs  -300.0 +ns  48000 ns
BenchmarkHTTP/GET/go-retryablehttp  1  9.000 +%  5.000 +allocs  1000 +ns  41000 ns
`,
			want: `
HTTP          tidegate             bare     failsafehttp go-retryablehttp
GET
  +%           4.50          -             20.0    0.23x    9.00    0.50x
  +allocs      17.0          -             44.0    0.39x    5.00    3.40x
  +ns          3000          -             -300             1000    3.00x
  ns          43000      40000    1.07x   48000    0.90x   41000    1.05x
`,
		},
		{
			name: "counts that are nothing",
			in: `
BenchmarkRepeated/GET/tidegate  1  1.000 conns  0 leaks
BenchmarkRepeated/GET/bare      1  1.000 conns  0 leaks
BenchmarkRepeated/GET/peer      1  1001 conns   1000 leaks
`,
			want: `
Repeated      tidegate            bare            peer
GET
  conns        1.00      1.00    1.00x   1001    <.01x
  leaks           0         0            1000    <.01x
`,
		},
		{
			name: "lines that are no results",
			in: `
BenchmarkBreaker/open/peer-8    --- FAIL: BenchmarkBreaker/open/peer-8
BenchmarkBreaker/open/peer
Benchmark said nothing at all
BenchmarkBreaker/open/tidegate  1000  100 ns/op
`,
			want: `
Breaker       tidegate
open
  1 cpu         100
`,
		},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out strings.Builder
			if err := run(strings.NewReader(row.in), &out); err != nil {
				t.Fatal(err)
			}
			if got := strings.TrimPrefix(out.String(), legend); got != row.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, row.want)
			}
		})
	}
}

func TestTableNamesTheMachine(t *testing.T) {
	var out strings.Builder
	if err := run(strings.NewReader("cpu: Some Processor\nBenchmarkBreaker/open/tidegate 1000 100 ns/op\n"), &out); err != nil {
		t.Fatal(err)
	}
	if line, _, _ := strings.Cut(out.String(), "\n"); !strings.HasPrefix(line, "Some Processor, ") || !strings.Contains(line, runtime.Version()) {
		t.Errorf("the first line is %q", line)
	}
}

func TestTableErrors(t *testing.T) {
	for _, row := range []struct {
		in, want string
	}{
		{"", "no result of a benchmark in the input"},
		{"PASS\n", "no result of a benchmark in the input"},
		{"BenchmarkA/b/c 10 many ns/op\n", `the line "BenchmarkA/b/c 10 many ns/op": "many" is not a number`},
		{"BenchmarkA/b/c 10 1 ns/op 2\n", `the line "BenchmarkA/b/c 10 1 ns/op 2": the number 2 has no unit`},
	} {
		var out strings.Builder
		if err := run(strings.NewReader(row.in), &out); err == nil || err.Error() != row.want || out.Len() > 0 {
			t.Errorf("%q: got %v and the output %q, want %q", row.in, err, out.String(), row.want)
		}
	}
}
