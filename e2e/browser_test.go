//go:build e2e

package e2e

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// browser is a chromium that is driven by its debugging protocol, over pipes: no port is open.
type browser struct {
	t    *testing.T
	to   io.Writer
	mu   sync.Mutex
	wait map[int]chan json.RawMessage
	next int
	// said are errors on the console and violations of the page's policy, asked are the addresses of requests.
	said, asked []string
	loaded      chan struct{}
	session     string
}

// openBrowser starts a browser that ends with the test.
func openBrowser(t *testing.T) *browser {
	t.Helper()
	theirs, to, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	from, ours, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "chromium", "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
		"--user-data-dir="+t.TempDir(), "--remote-debugging-pipe", "about:blank")
	cmd.ExtraFiles = []*os.File{theirs, ours}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	_, _ = theirs.Close(), ours.Close()
	b := &browser{t: t, to: to, wait: make(map[int]chan json.RawMessage), loaded: make(chan struct{}, 1)}
	done := make(chan struct{})
	go func() { defer close(done); b.listen(from) }()
	t.Cleanup(func() {
		_ = to.Close()
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
		<-done
	})
	var target struct {
		TargetInfos []struct{ TargetID, Type string }
	}
	for range 100 { // the first page takes a moment
		b.call("Target.getTargets", nil, &target)
		for _, info := range target.TargetInfos {
			if info.Type == "page" {
				var session struct{ SessionID string }
				b.call("Target.attachToTarget", map[string]any{"targetId": info.TargetID, "flatten": true}, &session)
				b.session = session.SessionID
				for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
					b.call(domain+".enable", nil, nil)
				}
				return b
			}
		}
		time.Sleep(100 * time.Millisecond)
	}
	t.Fatal("the browser has no page")
	return nil
}

// listen reads what the browser says until it ends.
func (b *browser) listen(from io.ReadCloser) {
	defer from.Close()
	r := bufio.NewReader(from)
	for {
		line, err := r.ReadBytes(0)
		if err != nil {
			return
		}
		var m struct {
			ID            int
			Method        string
			Result, Error json.RawMessage
			Params        struct {
				Request          struct{ URL string }
				Entry            struct{ Level, Text string }
				Type             string
				Args             json.RawMessage
				ExceptionDetails json.RawMessage
			}
		}
		if json.Unmarshal(line[:len(line)-1], &m) != nil {
			continue
		}
		b.mu.Lock()
		switch p := m.Params; {
		case m.ID > 0:
			if m.Error != nil {
				b.said = append(b.said, string(m.Error))
			}
			b.wait[m.ID] <- m.Result
		case m.Method == "Network.requestWillBeSent":
			b.asked = append(b.asked, p.Request.URL)
		case m.Method == "Log.entryAdded" && p.Entry.Level != "info", m.Method == "Runtime.exceptionThrown", m.Method == "Runtime.consoleAPICalled":
			b.said = append(b.said, p.Entry.Text+string(p.Args)+string(p.ExceptionDetails))
		case m.Method == "Page.loadEventFired":
			select {
			case b.loaded <- struct{}{}:
			default:
			}
		}
		b.mu.Unlock()
	}
}

// call calls a method of the browser, and decodes its result into out, if that is not nil.
func (b *browser) call(method string, params map[string]any, out any) {
	b.t.Helper()
	b.mu.Lock()
	b.next++
	id, answer := b.next, make(chan json.RawMessage, 1)
	b.wait[id] = answer
	b.mu.Unlock()
	if params == nil {
		params = map[string]any{}
	}
	message := map[string]any{"id": id, "method": method, "params": params}
	if b.session != "" {
		message["sessionId"] = b.session
	}
	raw, err := json.Marshal(message)
	if err == nil {
		_, err = b.to.Write(append(raw, 0))
	}
	if err != nil {
		b.t.Fatal(err)
	}
	select {
	case result := <-answer:
		if out == nil {
			return
		}
		if err := json.Unmarshal(result, out); err != nil {
			b.t.Fatalf("%s: %v: %s", method, err, result)
		}
	case <-time.After(2 * time.Minute):
		b.t.Fatalf("%s: the browser does not answer", method)
	}
}

// show opens a page as wide as a screen of so many pixels.
func (b *browser) show(path string, width int) {
	b.t.Helper()
	b.call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 600}, nil)
	b.call("Page.navigate", map[string]any{"url": "file://" + path}, nil)
	select {
	case <-b.loaded:
	case <-time.After(2 * time.Minute):
		b.t.Fatalf("%s does not load", path)
	}
}

// eval is the value of an expression in the page, as text.
func (b *browser) eval(expression string) string {
	b.t.Helper()
	var out struct{ Result struct{ Value any } }
	b.call("Runtime.evaluate", map[string]any{"expression": "String(" + expression + ")", "returnByValue": true}, &out)
	return fmt.Sprint(out.Result.Value)
}

// print is the page on paper.
func (b *browser) print() int {
	b.t.Helper()
	var out struct{ Data string }
	b.call("Page.printToPDF", nil, &out)
	return len(out.Data)
}

// hold holds what is right of every page at the width: nothing is wider, nothing is asked for, nothing is wrong.
func (b *browser) hold(path string, width int) {
	b.t.Helper()
	b.show(path, width)
	if wide := b.eval("innerWidth === " + fmt.Sprint(width) + " && document.documentElement.scrollWidth <= innerWidth"); wide != "true" {
		b.t.Errorf("%s at %d pixels is wider than that", filepath.Base(path), width)
	}
	if dir := os.Getenv("NODESEAL_SCREENSHOTS"); dir != "" {
		var shot struct{ Data []byte }
		b.call("Page.captureScreenshot", map[string]any{"captureBeyondViewport": false}, &shot)
		name := fmt.Sprintf("%s-%d.png", strings.TrimSuffix(filepath.Base(path), ".html"), width)
		if err := os.WriteFile(filepath.Join(dir, name), shot.Data, 0o644); err != nil {
			b.t.Error(err)
		}
	}
	b.quiet(path)
}

// quiet holds that nothing but files that were opened was asked for since the last call, and nothing said.
func (b *browser) quiet(path string) {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, url := range b.asked {
		if url != "file://"+path {
			b.t.Errorf("%s asks for %s", filepath.Base(path), url)
		}
	}
	for _, text := range b.said {
		b.t.Errorf("%s: the browser says %s", filepath.Base(path), text)
	}
	b.asked, b.said = nil, nil
}
