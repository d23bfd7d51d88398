"""Predict over REST, with payloads made from the model's own signature.

locust -f locustfiles/rest_predict.py --host http://127.0.0.1:8501 --tfs-model my_model
"""

from tfs_locust import RestPredictUser


class RestPredict(RestPredictUser):
    pass
