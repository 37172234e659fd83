package transporttest

import (
	"maps"
	"net"
	"os"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kith-go/kith/internal/leak"
	"github.com/kith-go/kith/transport/netconn"
)

// A pipeFault is one rule that a testPipe breaks.
type pipeFault string

const noPipeFault pipeFault = ""

const (
	pipeCloseAgainPanics  pipeFault = "a second Close panics"
	pipeCloseLeavesRead   pipeFault = "Close leaves Read blocked"
	pipeCloseLeavesWrite  pipeFault = "Close leaves Write blocked"
	pipeDeadlineFake      pipeFault = "SetReadDeadline does nothing and returns nil"
	pipeDeadlineLoses     pipeFault = "a read deadline loses a byte"
	pipeDeadlineOdd       pipeFault = "a deadline's error is not os.ErrDeadlineExceeded"
	pipeDeadlineUnseen    pipeFault = "a blocked Read does not see a new deadline"
	pipeDropsByte         pipeFault = "a byte is lost"
	pipeEmptyEnds         pipeFault = "an empty Write half-closes"
	pipeHalfCloseEndsBoth pipeFault = "CloseWrite ends reading too"
	pipeKeepsSlice        pipeFault = "Write keeps its slice"
	pipeLeaks             pipeFault = "Close leaves a goroutine behind"
	pipeNoDeadlines       pipeFault = "no deadlines" // which is none
	pipeOneLock           pipeFault = "one lock for both directions"
	pipeOtherReadHangs    pipeFault = "the other end's Read hangs after Close"
	pipeOtherWriteGoesOn  pipeFault = "the other end's Write works after Close"
	pipeOtherWriteHangs   pipeFault = "the other end's Write hangs after Close"
	pipeReadAfterClose    pipeFault = "Read after Close waits"
	pipeReadFills         pipeFault = "Read waits for a full buffer"
	pipeShortWrite        pipeFault = "Write returns less than it wrote"
	pipeUnbuffered        pipeFault = "Write waits until half of it was read"
	pipeWriteAfterClose   pipeFault = "Write after Close says that it worked"
	pipeWriteCount        pipeFault = "Write at its deadline returns 0"
	pipeWriteDeadlineFake pipeFault = "SetWriteDeadline does nothing and returns nil"
)

// pipeCaught lists, for each fault, cases that are meant to find it.
var pipeCaught = map[pipeFault][]string{
	pipeCloseAgainPanics:  {"CloseAgain", "CloseDuringTraffic"},
	pipeCloseLeavesRead:   {"CloseUnblocksRead"},
	pipeCloseLeavesWrite:  {"CloseUnblocksWrite"},
	pipeDeadlineFake:      {"ReadDeadline"},
	pipeDeadlineLoses:     {"ReadDeadline"},
	pipeDeadlineOdd:       {"ReadDeadline"},
	pipeDeadlineUnseen:    {"ReadDeadline"},
	pipeDropsByte:         {"BothWaysAtOnce"},
	pipeEmptyEnds:         {"BothWaysAtOnce"},
	pipeHalfCloseEndsBoth: {"HalfClose"},
	pipeKeepsSlice:        {"WriteKeepsNothing"},
	pipeOneLock:           {"DirectionsAreApart"},
	pipeOtherReadHangs:    {"CloseEndsTheOtherRead"},
	pipeOtherWriteGoesOn:  {"CloseEndsTheOtherWrite"},
	pipeOtherWriteHangs:   {"CloseEndsTheOtherWrite"},
	pipeReadAfterClose:    {"UseAfterClose"},
	pipeReadFills:         {"ReadReturnsWhatIsThere"},
	pipeShortWrite:        {"BothWaysAtOnce"},
	pipeUnbuffered:        {"HoldsALittle"},
	pipeWriteAfterClose:   {"UseAfterClose"},
	pipeWriteCount:        {"WriteDeadline"},
	pipeWriteDeadlineFake: {"WriteDeadline"},
}

// pipesInRealTime lists the faults that stop a bubble's clock, or show only if
// a call was blocked already.
var pipesInRealTime = []pipeFault{pipeOneLock, pipeDeadlineUnseen}

// pipeCase returns the case of that name, and its setup over test pipes.
func pipeCase(t *testing.T, name string, f pipeFault, stuck chan struct{}) (testCase, Setup) {
	t.Helper()
	i := slices.IndexFunc(pipeCases, func(c testCase) bool { return c.name == name })
	if i < 0 {
		t.Fatalf("no case is named %s", name)
	}
	s := PipeSetup{
		Timeout:     2 * time.Second,
		MaxBuffered: 1 << 20,
		Make: func(testing.TB) (a, b netconn.Pipe) {
			x, y := newTestPipe(f, stuck)
			return x, y
		},
	}
	return pipeCases[i], s.alone(t)
}

// TestPipeFaultsAreCaught breaks one rule at a time and wants the case that is
// meant for it to fail, and to say which rule.
func TestPipeFaultsAreCaught(t *testing.T) {
	for _, f := range slices.Sorted(maps.Keys(pipeCaught)) {
		t.Run(string(f), func(t *testing.T) {
			for _, name := range pipeCaught[f] {
				if slices.Contains(pipesInRealTime, f) {
					expectPipeCaught(t, f, name)
					continue
				}
				synctest.Test(t, func(t *testing.T) {
					expectPipeCaught(t, f, name)
					time.Sleep(time.Minute) // for what the case had to abandon
				})
			}
		})
	}
}

func expectPipeCaught(t *testing.T, f pipeFault, name string) {
	t.Helper()
	stuck := make(chan struct{})
	defer close(stuck)
	c, s := pipeCase(t, name, f, stuck)
	r := record(c, s)
	if !strings.HasPrefix(r.text, "netconn.Pipe: ") {
		t.Errorf("%s reports %q, want a failure that names the rule of netconn.Pipe", name, r.text)
	}
	first, _, _ := strings.Cut(r.text, "\n")
	t.Logf("%s: %s", name, first)
}

// TestPipeLeakIsCaught is about what is looked for after the case.
func TestPipeLeakIsCaught(t *testing.T) {
	before := leak.Take()
	stuck := make(chan struct{})
	c, s := pipeCase(t, "CloseAgain", pipeLeaks, stuck)
	if r := record(c, s); r.text != "" {
		t.Errorf("CloseAgain reports %q, want nothing", r.text)
	}
	r := &recorder{}
	checkLeft(r, before, mode{}, s)
	if !strings.HasPrefix(r.text, "netconn.Pipe: ") || !strings.Contains(r.text, "leakHandler") {
		t.Errorf("check() reports %q, want the stack of leakHandler", r.text)
	}
	close(stuck)
	if text, ok := before.Settle(0, nil); !ok {
		t.Errorf("left behind: %s", text)
	}
}

// TestEveryPipeCaseCatchesAFault holds that no case is idle.
func TestEveryPipeCaseCatchesAFault(t *testing.T) {
	for _, c := range pipeCases {
		if !slices.ContainsFunc(slices.Collect(maps.Values(pipeCaught)), func(names []string) bool {
			return slices.Contains(names, c.name)
		}) {
			t.Errorf("no fault is caught by Pipe/%s", c.name)
		}
	}
}

// A skip says what the pipe lacks.
func TestPipeSkipsSayWhy(t *testing.T) {
	endless := func(testing.TB) (a, b netconn.Pipe) {
		x, y := newTestPipe(noPipeFault, nil)
		return x, y
	}
	plain := func(testing.TB) (a, b netconn.Pipe) {
		x, y := newTestPipe(noPipeFault, nil)
		return plainPipe{x}, plainPipe{y}
	}
	without := func(testing.TB) (a, b netconn.Pipe) {
		x, y := newTestPipe(pipeNoDeadlines, nil)
		return x, y
	}
	for _, tt := range []struct {
		name string
		s    PipeSetup
		want string
	}{
		{"ReadDeadline", PipeSetup{Make: plain}, "no SetReadDeadline"},
		{"WriteDeadline", PipeSetup{Make: plain}, "no SetWriteDeadline"},
		{"ReadDeadline", PipeSetup{Make: without}, os.ErrNoDeadline.Error()},
		{"HalfClose", PipeSetup{Make: plain}, "no CloseWrite"},
		{"CloseUnblocksWrite", PipeSetup{Make: endless, MaxBuffered: 1000}, "more than PipeSetup.MaxBuffered"},
		{"WriteDeadline", PipeSetup{Make: endless, MaxBuffered: 1000}, "more than PipeSetup.MaxBuffered"},
	} {
		c, _ := pipeCase(t, tt.name, noPipeFault, nil)
		if r := record(c, tt.s.alone(t)); r.text != "" || !strings.Contains(r.reason, tt.want) {
			t.Errorf("%s reports %q and is skipped with %q, want a skip with %q", tt.name, r.text, r.reason, tt.want)
		}
	}
}

// TestRunPipe runs all of it on a pipe that keeps all rules.
func TestRunPipe(t *testing.T) {
	RunPipe(t, PipeSetup{Make: makeTestPipe, InMemory: true, Timeout: 2 * time.Minute})
}

// The pipes that there are already keep the rules, but for one that net.Pipe
// does not.
func TestPipesOfNet(t *testing.T) {
	t.Run("net.Pipe", func(t *testing.T) {
		s := PipeSetup{Make: func(testing.TB) (a, b netconn.Pipe) { return net.Pipe() }, Timeout: 30 * time.Second}
		for _, c := range pipeCases {
			synctest.Test(t, func(t *testing.T) {
				want := ""
				if c.name == "HoldsALittle" {
					want = "It takes in 4 KiB"
				}
				if r := record(c, s.alone(t)); (r.text == "") != (want == "") || !strings.Contains(r.text, want) {
					t.Errorf("%s reports %q, want %q", c.name, r.text, want)
				}
			})
		}
	})
	for network, addr := range map[string]string{"tcp": "127.0.0.1:0", "unix": ""} {
		t.Run(network, func(t *testing.T) {
			s := PipeSetup{Make: func(t testing.TB) (a, b netconn.Pipe) { return socketPair(t, network, addr) }}
			runGroups(t, pipeGroups, s.alone, mode{})
		})
	}
}

// socketPair returns the two ends of a connection.
func socketPair(t testing.TB, network, addr string) (a, b net.Conn) {
	t.Helper()
	if network == "unix" {
		dir, err := os.MkdirTemp("", "kith") // t.TempDir is too long on some systems
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = os.RemoveAll(dir) })
		addr = dir + "/s"
	}
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	if a, err = net.Dial(network, l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if b, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	return a, b
}
