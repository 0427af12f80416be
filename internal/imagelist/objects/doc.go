// Package objects finds the images that Kubernetes and OpenShift objects refer
// to. It knows neither clusters nor files: the objects come as JSON, from an API
// server page by page or from a file that `oc get -o json` or `-o yaml` wrote,
// and the same code serves both.
//
// A Collector takes objects in any order and makes of them a Result: references
// resolved to the digests that run, architectures, mirrors, the release and its
// signatures.
package objects
