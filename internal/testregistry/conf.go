package testregistry

import (
	"context"
	"fmt"
	"net"
)

func listen() (net.Listener, error) {
	var config net.ListenConfig
	return config.Listen(context.Background(), "tcp", "127.0.0.1:0")
}

// RegistriesConf is a registries.conf by which references of registry are
// pulled from the registry at addr, by plain HTTP, and from nowhere else.
func RegistriesConf(registry, addr string) string {
	return fmt.Sprintf("[[registry]]\nprefix = %q\nlocation = %q\ninsecure = true\n", registry, addr)
}
