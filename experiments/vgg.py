"""Figure 5: networks of real images with a trained ticket of known sparsity planted in them.

    python -m experiments.vgg --data_dir=DIR --out=results/vgg
    python -m experiments.vgg --data_dir=DIR --preset=cpu --out=results/vgg-cpu
    python -m experiments.vgg --data_dir=DIR --dataset=mnist --model=lenet300 --preset=cpu

DIR holds the official files of CIFAR-10, MNIST or Fashion-MNIST. Expect what
docs/reproduction.md has. --preset=full is for an accelerator; --preset=cpu takes about 20 minutes
on two cores. A stopped command goes on with the first run that is not finished.
"""

from ticketjax.commands import vgg
from ticketjax.commands.flags import start

if __name__ == "__main__":
    start(vgg)
