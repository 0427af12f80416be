// Package answer is the answering registry: the read side of the OCI
// distribution specification over additional image stores on this node. It makes
// a pull succeed that asks a registry although the image is here (as
// imagePullPolicy: Always does): manifests, configurations and signatures are
// answered, and the runtime then finds every layer in the store.
//
// Whoever can name a digest gets the content that has it, under whatever
// repository; tags are of the repository that the store's references say. Where
// two stores have one tag, the store that was named first wins, as it does where
// the runtime looks for images.
//
// Nothing is ever written, and no file of a store stays open between requests,
// so that a slot can be unmounted and exchanged at any time.
package answer
