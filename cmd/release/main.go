// Command release makes the files that a release of nodeseal is published as; make release
// runs it. See the package internal/release.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"strings"
	"syscall"
	"time"

	"github.com/nodeseal/nodeseal/internal/release"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx)
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	var (
		o         release.Options
		epoch     int64
		platforms string
	)
	flag.StringVar(&o.Source, "source", ".", "read the source from `DIR`, the module's root")
	flag.StringVar(&o.Out, "o", "dist", "write the files into `DIR`")
	flag.StringVar(&o.Version, "version", "", "make the release `VERSION`")
	flag.StringVar(&o.Tags, "tags", "", "build with `TAGS`, as go build takes them")
	flag.StringVar(&o.Module, "fips", "", "build with the cryptographic module of `VERSION`, as GOFIPS140 of go build takes it")
	flag.Int64Var(&epoch, "time", 0, "stamp archives with `SECONDS` since 1970, the commit's time")
	flag.StringVar(&platforms, "platforms", strings.Join(release.Platforms(), ","), "build for `LIST` of linux/ARCHITECTURE, separated by commas")
	flag.Parse()
	if flag.NArg() > 0 || o.Version == "" || epoch <= 0 {
		flag.Usage()
		return fmt.Errorf("it takes --version and --time, and no arguments")
	}
	o.Time = time.Unix(epoch, 0)
	o.Platforms = strings.Split(platforms, ",")
	o.Say = func(name string) { fmt.Fprintln(os.Stdout, name) }
	return release.Make(ctx, o)
}
